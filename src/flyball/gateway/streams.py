"""What an engine's answer says: text, finish reason, token counts; and its `model` replaced by the route's name.

Events are looked at, not rebuilt: the bytes go on as they came, except that the model's name is replaced in place. That
is safe on bytes: inside a JSON string its quotes would be escaped.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from flyball.gateway.chunks import Chunk, ToolCall, decoded

_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_LF: Final = 0x0A
_CR: Final = 0x0D
"""As numbers: to look for bytes in bytes makes and drops an exception (CPython 3.11), which takes ten times as long."""
SIZES: Final = [b"%x\r\n" % size for size in range(4096)]
"""How chunks of HTTP begin, up to three digits."""
_LARGEST: Final = 4096 + 6
"""The whole length of a chunk with the largest of them."""
MAX_TOKENS: Final = 10_000_000
"""No answer has more: a count beyond it is a lie, and would fit no column of the ledger."""


class Pattern:
    """What one event with a piece of text looks like around the text, as the engine sends it and as the client gets it.

    The next events of a stream differ in the text alone, so that those need no parsing: what begins and ends like the
    pattern and has neither quote nor backslash between is the same JSON with another string.
    """

    __slots__ = ("after", "around", "before", "end", "new_after", "new_before", "new_end", "shortest")

    def __init__(self, before: bytes, after: bytes, new_before: bytes, new_after: bytes) -> None:
        self.before, self.after = before, after
        self.new_before, self.new_after = new_before, new_after
        self.shortest = len(before) + len(after) + 1
        self.end, self.new_end = after + b"\n\n\r\n", new_after + b"\n\n\r\n"
        self.around = len(new_before) + len(new_after) + 2

    def text(self, event: bytes) -> bytes | None:
        """The text of an event of this pattern; None for any other event."""
        if len(event) < self.shortest or not event.startswith(self.before) or not event.endswith(self.after):
            return None
        found = event[len(self.before) : -len(self.after)]
        return None if _QUOTE in found or _BACKSLASH in found or _LF in found else found


class Tally:
    """Gathers an answer, whole or event by event; whatever is not understood is passed on and not counted."""

    __slots__ = (
        "calls",
        "deltas",
        "error",
        "finish_reason",
        "model",
        "pattern",
        "prompt_tokens",
        "reported",
        "said",
        "texts",
    )

    def __init__(self, model: str) -> None:
        self.model = model
        self.texts: dict[int, list[str]] = {}
        self.calls: dict[tuple[int, int], dict[str, Any]] = {}
        self.deltas = 0
        self.finish_reason: str | None = None
        self.prompt_tokens = 0
        self.reported: int | None = None  # completion tokens as the engine counts them
        self.error: str | None = None
        self.said = False  # the engine has said [DONE]
        self.pattern: Pattern | None = None

    @property
    def finished(self) -> bool:
        """Whether the engine came to an end of its own."""
        return self.error is None and (self.said or self.finish_reason is not None)

    @property
    def completion_tokens(self) -> int:
        """As reported, else one per event with text: what an aborted stream is charged."""
        return self.deltas if self.reported is None else self.reported

    @property
    def answer(self) -> str:
        """The text of the first choice."""
        return "".join(self.texts.get(0, ()))

    @property
    def choices(self) -> list[dict[str, Any]] | None:
        """Every choice, where there is more to say than one text."""
        if not self.calls and len(self.texts) < 2:
            return None
        indexes = sorted({*self.texts, *(index for index, _ in self.calls)})
        return [
            {
                "content": "".join(self.texts.get(index, ())),
                "tool_calls": [call for (owner, _), call in sorted(self.calls.items()) if owner == index],
            }
            for index in indexes
        ]

    def event(self, event: bytes, *, wants_usage: bool) -> bytes | None:
        """One event as the client gets it; None when it is the token count that the client did not ask for."""
        pattern = self.pattern
        if pattern is not None and (text := pattern.text(event)) is not None:
            try:
                self.texts[0].append(text.decode())
            except UnicodeDecodeError:
                return event  # no JSON: passed on and not counted
            self.deltas += 1
            return b"%b%b%b" % (pattern.new_before, text, pattern.new_after)
        payload = _payload(event)
        if payload is None:
            return event
        if payload == b"[DONE]":
            self.said = True
            return event
        chunk = decoded(payload)
        if chunk is None:
            return event
        if chunk.error is not None:
            self.error = _words(chunk.error)
        self._count(chunk)
        if chunk.usage is not None and not chunk.choices and not wants_usage:
            return None
        if _is_plain_text(chunk):
            self._learn(event, chunk)
        return self.renamed(event, chunk.model)

    def relayed(self, chunk: bytes) -> bytes | None:
        """A whole chunk of HTTP with a piece of text and no more, as the client's chunk; None: it must be parsed."""
        pattern, length = self.pattern, len(chunk)
        if pattern is None or length > _LARGEST:
            return None
        before, end = pattern.before, pattern.end
        at, size = (4, length - 6) if length <= 262 else (5, length - 7)  # two hexadecimal digits or three
        start = at + len(before)
        if not (chunk.startswith(before, at) and chunk.endswith(end, start) and chunk.startswith(SIZES[size])):
            return None
        text = chunk[start : -len(end)]
        if not text or _QUOTE in text or _BACKSLASH in text or _LF in text or _CR in text:
            return None
        try:
            self.texts[0].append(text.decode())
        except UnicodeDecodeError:
            return None
        self.deltas += 1
        size = len(text) + pattern.around
        head = SIZES[size] if size < len(SIZES) else b"%x\r\n" % size
        return head + pattern.new_before + text + pattern.new_end

    def _learn(self, event: bytes, chunk: Chunk) -> None:
        """Keep what surrounds the text of an event, where its place is beyond doubt."""
        text = chunk.choices[0].delta.content  # type: ignore[index, union-attr]
        for mark in (b'"content":', b'"content": '):
            before, found, after = event.partition(mark + msgspec.json.encode(text))
            if found and mark not in before and mark not in after:
                before, after = before + mark + b'"', b'"' + after
                new = self.renamed(before, chunk.model), self.renamed(after, chunk.model)
                self.pattern = Pattern(before, after, *new)
                return

    def whole(self, body: bytes) -> Chunk | None:
        """A plain answer; None when it is not one."""
        chunk = decoded(body)
        if chunk is not None:
            self._count(chunk)
        return chunk

    def renamed(self, data: bytes, found: str | None) -> bytes:
        """`data` with the route's name for the engine's."""
        if found is None or found == self.model:
            return data
        new, *names = _names(found, self.model)
        for old in names:
            if data.find(old) >= 0:
                return data.replace(old, new)
        return data

    def _count(self, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self.prompt_tokens = min(max(chunk.usage.prompt_tokens, 0), MAX_TOKENS)
            self.reported = min(max(chunk.usage.completion_tokens, 0), MAX_TOKENS)
        for choice in chunk.choices or ():
            if choice.finish_reason is not None:
                self.finish_reason = choice.finish_reason
            message = choice.delta or choice.message
            text = choice.text if message is None else message.content or message.refusal
            if text:
                self.deltas += 1
                self.texts.setdefault(choice.index, []).append(text if isinstance(text, str) else str(text))
            if message is not None and message.tool_calls:
                self.deltas += 1
                self._merge(choice.index, message.tool_calls)

    def _merge(self, index: int, calls: list[ToolCall]) -> None:
        for position, call in enumerate(calls):
            place = (index, call.index or position)
            merged = self.calls.setdefault(place, {"id": call.id, "name": "", "arguments": ""})
            if call.function is not None:
                merged["name"] += call.function.name or ""
                merged["arguments"] += call.function.arguments or ""


@lru_cache(maxsize=256)
def _names(found: str, model: str) -> tuple[bytes, bytes, bytes]:
    """The key `model` with the new name, and with the engine's as engines write it."""
    old = msgspec.json.encode(found)
    return b'"model":' + msgspec.json.encode(model), b'"model":' + old, b'"model": ' + old


def _is_plain_text(chunk: Chunk) -> bool:
    """Whether an event is nothing but a piece of the first choice's text."""
    if chunk.choices is None or len(chunk.choices) != 1 or chunk.usage is not None or chunk.error is not None:
        return False
    choice = chunk.choices[0]
    delta = choice.delta
    return (
        delta is not None
        and choice.index == 0
        and choice.finish_reason is None
        and isinstance(delta.content, str)
        and delta.content != ""
        and not delta.tool_calls
        and delta.refusal is None
    )


def _payload(event: bytes) -> bytes | None:
    """The data of an event; None for comments and events without data."""
    if event.startswith(b"data: ") and _LF not in event:
        return event[6:]
    lines = [line[5:].lstrip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _words(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return str(message)[:300]
