"""Output constraints as GBNF grammars, the form that llama.cpp understands."""

from __future__ import annotations

from functools import lru_cache

from flyball.errors import InputError

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@lru_cache(maxsize=64)
def labels_grammar(labels: tuple[str, ...]) -> str:
    """A grammar that lets through exactly one of `labels` and then the end."""
    if not labels or "" in labels:
        raise InputError("a constraint needs labels that are not empty", cure="check release.constraint and the data")
    return "root ::= " + " | ".join(f'"{_escaped(label)}"' for label in labels)


def _escaped(label: str) -> str:
    return "".join(_ESCAPES.get(sign) or (sign if sign.isprintable() else f"\\U{ord(sign):08X}") for sign in label)
