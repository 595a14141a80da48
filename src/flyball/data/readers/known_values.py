"""Values that repeat in a delimited file's columns, by which a record is told from a line of prose. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ENOUGH = 20
"""Records from which on a column can be said to repeat its values."""
REPEATS = 3
MOST_COLUMNS = 200


class KnownValues:
    """The columns of the first unquoted lines that repeat few values: a label, a yes or no, a language."""

    def __init__(self, head: str, delimiter: str, quote: str, columns: int) -> None:
        seen: list[Counter[str]] = [Counter() for _ in range(min(columns, MOST_COLUMNS))]
        rows = 0
        for line in head.splitlines()[1:]:
            if (quote and quote in line) or line.count(delimiter) != columns - 1:
                continue
            rows += 1
            for counter, cell in zip(seen, line.split(delimiter), strict=False):
                counter[cell] += 1
        self._closed = {
            place: frozenset(cell for cell, times in counter.items() if times >= REPEATS)
            for place, counter in enumerate(seen)
            if rows >= ENOUGH and len(counter) > 1 and len(counter) * REPEATS <= rows
        }

    @property
    def any(self) -> bool:
        """Whether a column is known at all."""
        return bool(self._closed)

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether each known column holds a value that was seen; true where none is known."""
        return all(cells[place] in values for place, values in self._closed.items())
