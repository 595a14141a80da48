"""One request and its answer as it comes: first token, gaps, tokens, and what is wrong with it (no I/O)."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from flyball.evaluation.load.outcomes import NONE, Recording, bucket_of
from flyball.evaluation.load.planned_requests import Planned

MOST_BYTES: Final = 64 * 1024 * 1024
_SAID: Final = 300


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None

    def holds_tokens(self) -> bool:
        return bool(self.content or self.reasoning_content or self.reasoning or self.tool_calls)


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: Any = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_DECODE: Final = msgspec.json.Decoder(_Answer).decode


class Exchange:
    """A request under way; times are those of time.monotonic()."""

    __slots__ = (
        "at_s",
        "body",
        "buffer",
        "chunks",
        "connection",
        "deadline",
        "due",
        "error",
        "finish",
        "first",
        "is_stream",
        "last",
        "longest_gap",
        "max_tokens",
        "recording",
        "said",
        "said_done",
        "sent",
        "status",
        "usage",
    )

    def __init__(self, recording: Recording, planned: Planned, *, due: float, deadline: float) -> None:
        self.recording, self.due, self.deadline = recording, due, deadline
        self.at_s, self.body, self.max_tokens = planned.at_s, planned.body, planned.max_tokens
        self.sent = 0.0  # when the sender turned to it
        self.connection: Any = None
        self.first = self.last = self.longest_gap = NONE
        self.status = self.chunks = 0
        self.finish = self.error = self.said = ""
        self.buffer = bytearray()
        self.is_stream = self.said_done = False
        self.usage: _Usage | None = None

    def head(self, status: int, *, is_stream: bool) -> None:
        """The answer's head has come."""
        self.status, self.is_stream = status, is_stream and status == 200

    def feed(self, data: bytes, now: float) -> None:
        """A part of the answer's body has come."""
        self.buffer += data
        if not self.is_stream:
            if len(self.buffer) > MOST_BYTES:
                self.wrong("malformed", "the answer is larger than 64 MiB")
            return
        end = self.buffer.rfind(b"\n")
        if end < 0:
            return
        lines = bytes(self.buffer[:end]).split(b"\n")
        del self.buffer[: end + 1]
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip(), now)

    def _event(self, data: bytes, now: float) -> None:
        if data == b"[DONE]":
            self.said_done = True
            return
        answer = self._decoded(data)
        if answer is None:
            return
        for choice in answer.choices:
            if (choice.delta is not None and choice.delta.holds_tokens()) or choice.text:
                self._token(now)

    def _token(self, now: float) -> None:
        self.chunks += 1
        if self.chunks == 1:
            self.first = now
        else:
            gap = now - self.last
            self.recording.gaps[bucket_of(gap)] += 1
            if not gap <= self.longest_gap:
                self.longest_gap = gap
        self.last = now

    def _decoded(self, data: bytes) -> _Answer | None:
        try:
            answer = _DECODE(data)
        except msgspec.MsgspecError as error:
            self.wrong("malformed", f"{error}: {data[:_SAID].decode('utf-8', 'replace')}")
            return None
        if answer.error:
            self.wrong("error_event", data[:_SAID].decode("utf-8", "replace"))
        if answer.usage is not None:
            self.usage = answer.usage
        for choice in answer.choices:
            self.finish = choice.finish_reason or self.finish
        return answer

    def wrong(self, kind: str, said: str) -> None:
        """Something is wrong with the answer; the first thing counts."""
        if not self.error:
            self.error, self.said = kind, said

    def complete(self, now: float) -> None:
        """The answer came whole, as HTTP goes."""
        if self.status != 200:
            self.wrong(sys.intern(f"http_{self.status}"), bytes(self.buffer[:_SAID]).decode("utf-8", "replace"))
        elif self.is_stream:
            if not self.finish and not self.said_done:
                self.wrong("truncated", "the stream ended without a finish_reason and without [DONE]")
        else:
            answer = self._decoded(bytes(self.buffer))
            if answer is not None and not answer.choices:
                self.wrong("malformed", bytes(self.buffer[:_SAID]).decode("utf-8", "replace"))
            self.chunks = sum(
                bool(choice.text or (choice.message and choice.message.holds_tokens()))
                for choice in (answer.choices if answer else ())
            )
        self.ended(now)

    def ended(self, now: float) -> None:
        """Record what became of it."""
        kept, answered = self.recording, not self.error
        kept.due_s.append(self.at_s)
        kept.lag_s.append(self.sent - self.due)
        kept.first_s.append((self.first if self.first == self.first else now) - self.due if answered else NONE)
        kept.end_s.append(now - self.due)
        kept.longest_gap_s.append(self.longest_gap)
        tokens = self._tokens()
        spread = answered and self.is_stream and tokens > 1 and self.chunks > 1
        kept.per_token_s.append((self.last - self.first) / (tokens - 1) if spread else NONE)
        kept.tokens.append(tokens)
        kept.prompt_tokens.append(max(self.usage.prompt_tokens or 0, 0) if self.usage else 0)
        kept.error.append(self.error)
        kept.statuses[self.status] += 1
        kept.cut += self.finish == "length"
        kept.empty += answered and not self.chunks
        if self.error:
            kept.example(self.error, self.said)

    def _tokens(self) -> int:
        """As the server counts, where that can be true: every chunk holds a token or more, and there is a limit."""
        counted = self.usage.completion_tokens if self.usage else None
        seen = self.chunks if self.is_stream else 0
        if counted is None:
            return seen
        if max(self.chunks, 0) <= counted <= self.max_tokens:
            return counted
        self.recording.miscounted += 1
        return seen
