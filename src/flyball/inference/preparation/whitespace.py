"""White space as a sentence needs it. Not for code and answers of a conversation, where it means something. Pure."""

from __future__ import annotations


def collapse_spaces(text: str) -> str:
    """One space between words, one line break between lines, none around."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
