"""The parts of an engine's answer that the gateway reads, whole or one event."""

from __future__ import annotations

from typing import Any

import msgspec

NO_DATA = msgspec.Raw(b"")


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    """The parts of an answer or of one event that the gateway reads."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    data: msgspec.Raw = NO_DATA


_DECODER = msgspec.json.Decoder(Chunk)


def decoded(payload: bytes) -> Chunk | None:
    """The parts that are read; None when it is not such JSON."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
