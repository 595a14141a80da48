"""Exact fields: how much of an expected JSON object an answer has exactly. Pure."""

from __future__ import annotations

import re
from typing import Any
from unicodedata import normalize

import msgspec

_FENCED = re.compile(r"```(?:json)?[^\S\n]*+\n(.*?)```", re.DOTALL)


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a text is, alone or in a fenced block; None for anything else."""
    _, found = json_value(text)
    return found if isinstance(found, dict) else None


def json_value(text: str) -> tuple[bool, Any]:
    """(whether a text is JSON, alone or in a fenced block; its value)."""
    text = normalize("NFC", text)
    fenced = _FENCED.search(text)
    try:
        return True, msgspec.json.decode((fenced[1] if fenced else text).strip())
    except (msgspec.MsgspecError, ValueError):
        return False, None


def exact_fields(answer: str, expected: dict[str, Any]) -> float:
    """The share of the fields of either object that both have with the same value; 0 where the answer is no object."""
    found = json_object(answer)
    if found is None:
        return 0.0
    names = found.keys() | expected.keys()
    same = [name for name in found.keys() & expected.keys() if found[name] == expected[name]]
    return len(same) / len(names) if names else 1.0
