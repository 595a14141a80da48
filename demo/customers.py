"""Simulated customers: they ask through the real `openai` client and say what the answer should have been."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import openai

from flyball.data.samples.tickets import Ticket


@dataclass
class Asked:
    """What happened to a batch of tickets."""

    outcomes: Counter[str] = field(default_factory=Counter)
    right: int = 0
    request_ids: list[str] = field(default_factory=list)
    by_customer: dict[str, str] = field(default_factory=dict)
    truths: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.outcomes["ok"]

    @property
    def quality(self) -> float:
        """Share of the answers that were right."""
        return self.right / max(1, self.answered)


class Customers:
    """Many people behind one gateway; `key` is their application's API key where one is needed."""

    def __init__(self, gateway: str, route: str, key: str = "none") -> None:
        self.gateway, self.route, self.key = gateway, route, key
        self.client = openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0, timeout=30.0)

    def ask(self, tickets: Iterator[Ticket], count: int, *, feedback: bool = True, stream: bool = False) -> Asked:
        """Ask `count` tickets, eight at a time; with feedback, wrong answers are corrected and right ones praised."""
        asked = Asked()
        with ThreadPoolExecutor(8) as pool:
            batch = list(islice(tickets, count))
            for ticket, (outcome, answer, request_id) in zip(
                batch, pool.map(lambda one: self.ask_one(one, stream=stream), batch), strict=True
            ):
                asked.outcomes[outcome] += 1
                if outcome == "ok":
                    asked.right += answer == ticket.intent
                    asked.request_ids.append(request_id)
                    asked.truths[request_id] = ticket.intent
                    asked.by_customer[ticket.customer_id] = request_id
                    if feedback:
                        said = {"score": 1} if answer == ticket.intent else {"score": 0, "correction": ticket.intent}
                        self.say({"request_id": request_id, **said})
        return asked

    def ask_one(self, ticket: Ticket, *, stream: bool = False) -> tuple[str, str, str]:
        """One request: (ok | failed | cut, the answer, the request's id). No retries: what fails is seen."""
        begun = False
        try:
            raw = self.client.chat.completions.with_raw_response.create(
                model=self.route,
                user=ticket.customer_id,
                messages=[{"role": "user", "content": ticket.text}],
                stream=stream,
            )
            request_id = raw.headers["x-flyball-request-id"]
            if not stream:
                return "ok", raw.parse().choices[0].message.content or "", request_id
            text = ""
            finished = False
            for chunk in raw.parse():
                begun = True
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
                    finished = finished or chunk.choices[0].finish_reason is not None
            return ("ok" if finished else "cut"), text, request_id
        except openai.RateLimitError:
            return "limited", "", ""
        except openai.APIStatusError as error:
            return f"failed {error.status_code}", "", ""
        except (openai.APIError, Exception) as error:  # noqa: BLE001 - a cut stream surfaces in many ways
            return ("cut" if begun else f"failed {type(error).__name__}"), "", ""

    def say(self, body: dict[str, object]) -> int:
        """Post feedback; the HTTP status."""
        request = urllib.request.Request(
            f"{self.gateway}/v1/feedback",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
