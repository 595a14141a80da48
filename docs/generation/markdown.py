"""Tables and code of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def cell(text: str) -> str:
    """A text that may stand in a table; what looks like HTML is shown as it is."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(value: object) -> str:
    """A value as code inside a table."""
    text = str(value).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`" if text else '`""`'


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
