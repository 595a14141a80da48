"""White space as a sentence needs it. Not for code and answers of a conversation, where it means something. Pure."""

from __future__ import annotations

import re

SPACES = re.compile(r"[^\S\n]+")
BREAKS = re.compile(r" ?\n[ \n]*")


def collapse_spaces(text: str) -> str:
    """One space between words, one line break between lines, none around."""
    return BREAKS.sub("\n", SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()
