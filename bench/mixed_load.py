"""A mix of what clients do: plain answers, streams, feedback on answers, aborts, bad requests; and its journal.

The journal is the clients' own memory of what was acknowledged to them: the truth that a ledger is checked against.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from open_loop import Ask, Client, Outcome

BAD = (
    b"",
    b"{",
    b"[" * 2000,
    b'{"model": "nobody", "messages": []}',
    b'{"messages": [{"role": "user", "content": "\xff"}]}',
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what is sent; the rest is plain answers. Feedback follows that share of the acknowledged answers."""

    streams: float = 0.3
    feedback: float = 0.3
    aborts: float = 0.0
    bad: float = 0.0
    users: int = 500
    max_tokens: int = 2


@dataclass
class Journal:
    """What was sent and what became of it."""

    answered: list[str] = field(default_factory=list)  # request ids of answers that came whole
    praised: list[str] = field(default_factory=list)  # feedback ids that were acknowledged
    failed: list[Outcome] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)  # by key
    most_in_flight: Counter[str] = field(default_factory=Counter)

    @property
    def before_first_byte(self) -> list[Outcome]:
        return [outcome for outcome in self.failed if outcome.failed_before_first_byte]


class MixedLoad:
    """Sends the mix for some API keys (none: without a key) and keeps the journal."""

    def __init__(self, client: Client, *, keys: Sequence[str], mix: Mix, seed: int) -> None:
        self.client, self.keys, self.mix = client, keys, mix
        self.chance = random.Random(seed)
        self.journal = Journal()
        self.number = 0

    def send_one(self) -> None:
        """One request of the mix."""
        mix, draw = self.mix, self.chance.random()
        self.number += 1
        if draw < mix.bad:
            self._send("bad", "/v1/chat/completions", self.chance.choice(BAD))
        elif draw < mix.bad + mix.aborts:
            self._send("abort", "/v1/chat/completions", self._question(stream=True), leave_after=1)
        elif draw < mix.bad + mix.aborts + mix.streams:
            self._send("stream", "/v1/chat/completions", self._question(stream=True))
        else:
            self._send("plain", "/v1/chat/completions", self._question(stream=False))

    def _question(self, *, stream: bool) -> bytes:
        return json.dumps(
            {
                "model": "shop",
                "user": f"user-{self.chance.randrange(self.mix.users)}",
                "messages": [{"role": "user", "content": f"hi {self.number % 1000}"}],
                "max_tokens": self.mix.max_tokens,
                "stream": stream,
            }
        ).encode()

    def _send(
        self, kind: str, path: str, body: bytes, *, key: str | None = None, leave_after: int | None = None
    ) -> None:
        self.journal.sent += 1
        if key is None:
            key = self.chance.choice(self.keys) if self.keys else ""
        headers = [("x-flyball-client-id", f"ask-{self.number}")] if kind != "feedback" else []
        if key:
            headers.append(("authorization", f"Bearer {key}"))
        ask = Ask(self.number, kind, path, body, tuple(headers), leave_after, {"key": key})
        journal = self.journal
        journal.in_flight[key] += 1
        journal.most_in_flight[key] = max(journal.most_in_flight[key], journal.in_flight[key])
        self.client.send(ask, self._told)

    def _told(self, outcome: Outcome) -> None:
        kind, journal = outcome.ask.kind, self.journal
        journal.in_flight[outcome.ask.told["key"]] -= 1
        journal.statuses[f"{kind} {outcome.failure or outcome.status}"] += 1
        if outcome.failed_before_first_byte or (outcome.failure and outcome.failure != "left"):
            journal.failed.append(outcome)
        if not outcome.acknowledged:
            return
        if kind == "feedback":
            journal.praised.append(json.loads(outcome.body)["id"])
            return
        identifier = outcome.headers["x-flyball-request-id"]
        journal.answered.append(identifier)
        if self.chance.random() < self.mix.feedback:
            body = {"request_id": identifier, "score": 1, "comment": f"comment {outcome.ask.number}"}
            self._send("feedback", "/v1/feedback", json.dumps(body).encode(), key=outcome.ask.told["key"])
