"""What the form of a file says before its columns do, for `flyball init --from`. I/O: reads the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from flyball.data.config import SourceConfig
from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_rows import described, read_source


def turned(rows: Sequence[Mapping[str, Any]]) -> int:
    """How many columns a file has that holds columns of values in place of rows; 0: it holds rows."""
    values = list(rows[0].values()) if len(rows) == 1 else []
    inner = [value for value in values if isinstance(value, dict | list) and len(value) > 1]
    whole = len(values) > 1 and len(inner) == len(values) and len({len(value) for value in inner}) == 1
    same = len({tuple(value) for value in inner if isinstance(value, dict)}) == 1 or all(
        isinstance(value, list) and not any(isinstance(one, dict) for one in value) for value in inner
    )
    return len(values) if whole and same else 0


def why_nothing(raws: Sequence[RawRow]) -> str:
    """Why a file has no row to look at."""
    if not raws:
        return "it has no rows"
    if raws[0].fields is not None:
        return f"the first {len(raws)} rows hold nothing that can be read; line {raws[0].line} is an empty object"
    return (
        f"none of the first {len(raws)} rows could be read; line {raws[0].line} is {raws[0].problem}: {raws[0].detail}"
    )


def headless(path: Path, layout: Layout) -> SourceConfig | None:
    """Settings for a delimited file whose first line is a row already: a cell of it is long, or a value of others."""
    if layout.format != "csv":
        return None
    raws = [raw.fields for raw in islice(read_source(path), 200) if raw.fields]
    if len(raws) < 10:
        return None
    header = list(raws[0])
    repeated = any(sum(row[name].strip() == name for row in raws) >= 2 for name in header)
    if not repeated and not any(len(name) > 80 or len(name.split()) > 8 for name in header):
        return None
    return SourceConfig(path=str(path), columns=tuple(f"column_{number}" for number in range(1, len(header) + 1)))


def layout_line(layout: Layout, config: SourceConfig | None) -> str:
    """How the file is read."""
    unnamed = "; the first line is a row, so that columns are named by number" if config else ""
    return f"read as: {described(layout)}{unnamed}"


def dirt_line(raws: Sequence[RawRow]) -> tuple[str, ...]:
    """How many rows cannot be read, and the first of them."""
    problems = Counter(raw.problem for raw in raws if raw.fields is None)
    if not problems:
        return ()
    shown = ", ".join(f"{times} {problem}" for problem, times in problems.most_common())
    first = next(raw for raw in raws if raw.fields is None)
    return (
        f"{sum(problems.values())} of the first {len(raws)} rows cannot be read and will be rejected: {shown}"
        f" (line {first.line}: {first.detail})",
    )
