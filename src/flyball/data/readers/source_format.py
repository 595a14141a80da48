"""A format of sources: its name, its suffixes, and how its rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flyball.data.config import SourceConfig
from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import RawRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat:
    """One format; `rows(path, layout, head, config)` gives every row of a file, `words` says what it is read as.

    `is_text`: the file is text, whose encoding, line ends and delimiter are looked at first (`head` is its beginning).
    """

    name: str
    suffixes: tuple[str, ...]
    words: str
    rows: Callable[[Path, Layout, str, SourceConfig | None], Iterator[RawRow]]
    is_text: bool = True
