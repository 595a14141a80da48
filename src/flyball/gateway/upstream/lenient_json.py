"""Reads JSON that is not quite what it should be: numbers as texts, lists of parts, halves of surrogate pairs. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

_TEXTS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "reasoning", "reasoning_text", "summary_text")
_DEEPEST = 64
"""Levels of an answer of unknown shape that are looked at."""
_LONG = 2048
"""A text in one piece and of so many characters, in a part that is no text, is bytes in base64."""


def body_of(raw: bytes) -> Any:
    """What a client sent: valid JSON, where also half of an emoji that it cut is read; an error of msgspec or json."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        if b"\\ud" not in raw and b"\\uD" not in raw:
            raise
        return all_valid(json.loads(raw, parse_constant=_no_constant))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def nests_deeper(value: Any, raw: bytes, levels: int) -> bool:
    """Whether lists and objects of a document stand in each other more than so many times."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    inner = [value]
    for _ in range(levels):
        inner = [
            item
            for outer in inner
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not inner:
            return False
    return True


def document(payload: bytes) -> Any:
    """Any JSON, also with a byte order mark, NaN, lone surrogates or invalid UTF-8; ValueError when it is none."""
    try:
        return json.loads(payload)
    except UnicodeDecodeError:
        return json.loads(payload.decode("utf-8", "replace"))


def number(value: Any) -> int | None:
    """A count or an index, from whatever way to write it; None when it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def words(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_of(content: Any) -> tuple[str | None, str | None, list[Any]]:
    """What content says, what it thinks, and its parts that are neither: of a text, a list of parts, or one part."""
    if content is None or isinstance(content, str):
        return content, None, []
    texts: list[str] = []
    thoughts: list[str] = []
    others: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXTS and (said := _part(part, "text")) is not None:
            texts.append(said)
        elif kind in _THOUGHTS and (said := _part(part, *_THOUGHTS, "text")) is not None:
            thoughts.append(said)
        elif kind == "refusal" and (said := _part(part, "refusal")) is not None:
            texts.append(said)
        else:
            others.append(part)
    return "".join(texts) or None, "".join(thoughts) or None, others


def _part(part: dict[str, Any], *names: str) -> str | None:
    value = next((part[name] for name in names if name in part), None)
    if isinstance(value, dict):  # {"text": {"value": …}}
        value = value.get("value")
    if isinstance(value, list):  # {"thinking": [{"type": "text", "text": …}]}
        value = text_of(value)[0]
    return value if isinstance(value, str) else None


def texts_in(value: Any, depth: int = 0) -> list[str]:
    """Every text of a document of unknown shape, but for names and marks without a blank."""
    if isinstance(value, str):
        return [value]
    if depth > _DEEPEST:
        return []
    if isinstance(value, dict):
        return [found for key, item in value.items() if key not in _NAMES for found in texts_in(item, depth + 1)]
    if isinstance(value, list):
        return [found for item in value for found in texts_in(item, depth + 1)]
    return []


_NAMES = frozenset({"id", "object", "model", "created", "created_at", "role", "type", "system_fingerprint", "usage"})


def without_bytes(value: Any, depth: int = 0) -> Any:
    """The same with bytes in base64 (pictures, audio) told by their length alone, and no deeper than anybody reads."""
    if isinstance(value, str):
        if len(value) > _LONG and (value.startswith("data:") or not any(blank in value[:_LONG] for blank in " \n")):
            return f"<{len(value)} characters of base64>"
        return value
    if depth > _DEEPEST and isinstance(value, dict | list):
        return "<nested too deeply>"
    if isinstance(value, dict):
        return {key: without_bytes(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [without_bytes(item, depth + 1) for item in value]
    return value


def valid(text: str) -> str:
    """The same with halves of surrogate pairs put together, and those without their other half replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def all_valid(value: Any) -> Any:
    """A document with every text valid, so that it can be encoded."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.loads(valid(json.dumps(value, ensure_ascii=False)))
    return value
