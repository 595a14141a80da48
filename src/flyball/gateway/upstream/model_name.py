"""An answer's `model` replaced by the route's name, in place: the rest of the bytes stays as it came. Pure.

Inside a JSON string quotes are escaped, so that `"model":"…"` in the bytes is a key. Where it stands once, it is the
answer's; where more than once (in an object of a tool call's arguments), only the one on top is.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final

import msgspec

_LONGEST_KEPT: Final = 512
"""Characters: an upstream's name of its model may be megabytes long, and another one each time."""
_MARKS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def renamed(data: bytes, found: str, model: str) -> bytes:
    """`data` with `model` in place of the engine's name `found`; as it is where that name cannot be told for sure."""
    new, *names = _names(found, model) if len(found) <= _LONGEST_KEPT else _written(found, model)
    for old in names:
        place = data.find(old)
        if place >= 0 and data.find(old, place + 1) < 0:
            return data.replace(old, new)
    return _renamed_on_top(data, found, model)


@lru_cache(maxsize=256)
def _names(found: str, model: str) -> tuple[bytes, bytes, bytes]:
    return _written(found, model)


def _written(found: str, model: str) -> tuple[bytes, bytes, bytes]:
    """The key `model` with the new name, and with the engine's as engines write it."""
    old = json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b'"model":' + msgspec.json.encode(model), b'"model":' + old, b'"model": ' + old


def _renamed_on_top(data: bytes, found: str, model: str) -> bytes:
    """The value of the outermost object's `model`, however it is written (spaces, escapes)."""
    depth = 0
    key_end = -1
    for mark in _MARKS.finditer(data):
        text = mark.group()
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and key_end >= 0 and data[key_end : mark.start()].strip() == b":":
            if _value(text) != found:
                return data
            return data[: mark.start()] + msgspec.json.encode(model) + data[mark.end() :]
        elif depth == 1 and text == b'"model"':
            key_end = mark.end()
            continue
        key_end = -1
    return data


def _value(text: bytes) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
