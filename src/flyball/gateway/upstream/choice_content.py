"""What one choice says beside its text: reasoning, refusal, calls, audio, parts; gathered whole or piece by piece."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flyball.gateway.upstream.chunks import Function, Message, ToolCall
from flyball.gateway.upstream.lenient_json import without_bytes

CALL_TOKENS: Final = 8
"""What surrounds each call: its id, the marks of the template."""


Call = dict[str, Any]
"""One call as it is gathered: id, name, arguments, and the index that its server gives it."""


class ChoiceContent:
    """Whatever one choice says that is not its plain text."""

    __slots__ = ("audio", "audio_size", "calls", "function", "parts", "reasoning", "refusal", "transcript")

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: list[Call] = []
        self.function: dict[str, Any] | None = None
        self.parts: list[Any] = []
        self.audio: dict[str, Any] = {}
        self.audio_size = 0
        self.transcript: list[str] = []

    def take(self, message: Message) -> bool:
        """Gather what a message or a delta says beside its content; whether it said anything."""
        said = False
        if reasoning := message.reasoning_content or message.reasoning:
            self.reasoning.append(reasoning)
            said = True
        if message.refusal:
            self.refusal.append(message.refusal)
            said = True
        if message.tool_calls:
            self._merge(message.tool_calls)
            said = True
        if message.function_call is not None:
            self._call(message.function_call)
            said = True
        if message.audio is not None:
            said = self._hear(message.audio) or said
        for parts in (message.images, message.others):
            if parts:
                self.parts += without_bytes(parts if isinstance(parts, list) else [parts])
                said = True
        return said

    def texts(self) -> list[str]:
        """Every text that took tokens."""
        calls = [*self.calls, self.function] if self.function is not None else self.calls
        called = [text for call in calls for text in (call["name"], call["arguments"])]
        return [*self.reasoning, *self.refusal, *self.transcript, *called]

    def marks(self) -> int:
        """Tokens around the calls."""
        return CALL_TOKENS * (len(self.calls) + (self.function is not None))

    def document(self, text: str) -> dict[str, Any]:
        """All of the choice as it is recorded; what was not said is left out, but for content and tool_calls."""
        found: dict[str, Any] = {"content": text, "tool_calls": [_recorded(call) for call in self.calls]}
        if self.reasoning:
            found["reasoning"] = "".join(self.reasoning)
        if self.refusal:
            found["refusal"] = "".join(self.refusal)
        if self.function is not None:
            found["function_call"] = self.function
        if self.audio or self.audio_size or self.transcript:
            found["audio"] = {**self.audio, "transcript": "".join(self.transcript), "base64_size": self.audio_size}
        if self.parts:
            found["parts"] = self.parts
        return found

    def _hear(self, audio: Any) -> bool:
        """Audio's words and the size of its bytes: neither is of use without the other's place, only words are read."""
        if not isinstance(audio, dict):
            return False
        if isinstance(data := audio.get("data"), str):
            self.audio_size += len(data)
        if isinstance(words := audio.get("transcript"), str) and words:
            self.transcript.append(words)
        self.audio |= {key: without_bytes(audio[key]) for key in ("id", "expires_at") if audio.get(key) is not None}
        return True

    def _call(self, piece: Function) -> None:
        if self.function is None:
            self.function = {"name": "", "arguments": ""}
        _append(self.function, piece)

    def _merge(self, pieces: list[ToolCall]) -> None:
        """Put pieces of calls where they belong; two pieces of one event are never of one call."""
        touched: list[Call] = []
        for position, piece in enumerate(pieces):
            open_calls = [call for call in self.calls if not any(call is other for other in touched)]
            call = _owner(open_calls, piece, position, len(pieces))
            if call is None:
                call = {"id": piece.id or None, "name": "", "arguments": "", "index": piece.index}
                self.calls.append(call)
            elif piece.id and not call["id"]:
                call["id"] = piece.id
            touched.append(call)
            if piece.function is not None:
                _append(call, piece.function)


def _owner(calls: list[Call], piece: ToolCall, position: int, together: int) -> Call | None:
    """The call that a piece goes on with; None for a call of its own.

    Servers give all parallel calls one index, or none, or repeat name and id with every piece: an id tells best, then
    the index, and a name begins a call where the one before is complete.
    """
    if piece.id:
        for call in reversed(calls):
            if call["id"] == piece.id and (piece.index is None or piece.index == call["index"]):
                return call
    same = [one for one in calls if one["index"] == piece.index]
    if piece.index is None and together > 1:
        left = together - position
        same = same[-left:][:1] if len(same) >= left else []
    if not same:
        return None
    last = same[-1]
    name = piece.function.name if piece.function is not None else None
    if name and (_is_complete(last) or (last["name"] and (name != last["name"] or (piece.id and last["id"])))):
        return None
    return None if piece.id and last["id"] and _is_complete(last) else last


def _is_complete(call: dict[str, Any]) -> bool:
    try:
        msgspec.json.decode(call["arguments"])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _append(call: dict[str, Any], piece: Function) -> None:
    if piece.name and piece.name != call["name"]:
        call["name"] += piece.name
    if piece.arguments:
        call["arguments"] += piece.arguments


def _recorded(call: dict[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "name": call["name"], "arguments": call["arguments"]}
