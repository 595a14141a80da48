"""Calls of tools in an answer: kept as text, so that they are stored as other answers are. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

HEAD: Final = '{"tool_calls":'


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call; `arguments` is None where they are no JSON object."""

    name: str
    arguments: dict[str, Any] | None


class _Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the text."""

    tool_calls: list[Call]


def text_of_calls(given: object) -> str | None:
    """The tool_calls of a message as text; None where it has none."""
    if not isinstance(given, list) or not given:
        return None
    return msgspec.json.encode(_Calls(tool_calls=[_call(one) for one in given])).decode()


def calls_of(text: str) -> list[Call]:
    """The calls in a text of `text_of_calls`; none in any other text."""
    if not text.startswith(HEAD):
        return []
    try:
        return msgspec.json.decode(text, type=_Calls).tool_calls
    except msgspec.MsgspecError:
        return []


def _call(given: object) -> Call:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict):
        return Call(name="", arguments=None)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments or "{}")
        except msgspec.DecodeError:
            arguments = None
    return Call(name=str(function.get("name")), arguments=arguments if isinstance(arguments, dict) else None)
