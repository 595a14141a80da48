"""The reasoning that some models put before their answer, between <think> and </think>. Pure."""

from __future__ import annotations

from typing import Final

BEGIN: Final = "<think>"
END: Final = "</think>"


def holds_reasoning(text: str) -> bool:
    """Whether a text holds reasoning; prompts of some models end with <think>, so that the text has its end alone."""
    return END in text or text.lstrip().startswith(BEGIN)


def without_reasoning(text: str) -> str:
    """What stands after the reasoning; empty where it never ends, and the whole text where there is none."""
    if END in text:
        return text.rpartition(END)[2]
    return "" if holds_reasoning(text) else text
