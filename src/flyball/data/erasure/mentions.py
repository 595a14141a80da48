"""Where a source names a person outside of the person's rows: that stays, and is told. I/O: reads files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyball.data.config import SourceConfig
from flyball.data.erasure.subject_rows import sought
from flyball.data.readers.source_rows import read_source

MOST_LINES = 20
SURE = 4
"""Characters from which on a name counts in the middle of a text; a shorter one, or a number, as a whole value only."""


def mentions_in(path: Path, config: SourceConfig, *, name: str, subject: str, key: bytes) -> dict[str, Any]:
    """How many rows that are not the person's have the name in some column: rows, the first lines, columns; or {}."""
    who = sought(path, config, subject, key, [name])
    value, anywhere = _patterns(name)
    rows, lines, columns = 0, list[int](), set[str]()
    for raw in read_source(path, config):
        if raw.fields is None or (who is not None and who.owns(raw.fields)):
            continue
        own = config.fields.subject  # another person's name may contain this one
        found = {
            column for column, held in raw.fields.items() if _names(held, name, value if column == own else anywhere)
        }
        if found:
            rows += 1
            columns |= found
            if len(lines) < MOST_LINES:
                lines.append(raw.line)
    return {"rows": rows, "lines": lines, "columns": sorted(columns)[:MOST_LINES]} if rows else {}


def _patterns(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(the name as a whole value or an element of a list that is written as text, the name as a word anywhere)."""
    exact = re.escape(name)
    value = re.compile(rf"""\A{exact}\Z|(?<=['"]){exact}(?=['"])""")
    return value, value if len(name) < SURE or name.isdecimal() else re.compile(rf"(?<!\w){exact}(?!\w)")


def _names(held: Any, name: str, pattern: re.Pattern[str]) -> bool:
    if isinstance(held, Mapping):
        return any(_names(one, name, pattern) for one in held.values())
    if isinstance(held, list | tuple):
        return any(_names(one, name, pattern) for one in held)
    text = held if isinstance(held, str) else str(held)
    if not name.isascii():
        text = unicodedata.normalize("NFC", text)
    return name in text and pattern.search(text) is not None
