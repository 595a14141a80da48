"""What a reader gives of one row, and how much of a file it takes in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line, and a longer record of several lines, is rejected without being held in memory."""
MAX_BLANK_LINES = 1_000_000
"""Blank lines in a row; more are no file of rows."""
MAX_COLUMNS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One row of a source: 1-based line, digest of its bytes, and either its fields or the problem with it.

    `lines` is how many physical lines it takes up, so that every line of a file can be accounted for.
    """

    line: int
    digest: bytes
    fields: dict[str, Any] | None = None
    problem: str = ""
    detail: str = ""
    lines: int = 1
