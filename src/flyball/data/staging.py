"""Prepared rows on their way to their sides. I/O: writes and reads a temporary folder.

Rows wait in sixteen files by the first digit of their id, so that they can be written in the order of their ids while
only a sixteenth is in memory: the files of a dataset then do not depend on the order of the sources' rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flyball.data.rows import Row, RowWriter, read_rows

BUCKETS = "0123456789abcdef"


class Staging:
    """Takes (position, row) in any order; gives them back in the order of row ids, then of source and line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._writers = {bucket: RowWriter(folder / f"{bucket}.parquet", Row) for bucket in BUCKETS}
        self._positions: dict[str, list[int]] = {bucket: [] for bucket in BUCKETS}

    def add(self, position: int, row: Row) -> None:
        """Keep one row under the position that deduplication knows it by."""
        self._writers[row.row_id[0]].write(row)
        self._positions[row.row_id[0]].append(position)

    def close(self) -> None:
        """No more rows come."""
        for writer in self._writers.values():
            writer.close()

    def ordered(self) -> Iterator[tuple[int, Row]]:
        """Every (position, row) by row id; each waiting file is removed once it was read."""
        for bucket in BUCKETS:
            rows = zip(self._positions[bucket], read_rows(self._folder, bucket), strict=True)
            yield from sorted(rows, key=lambda pair: (pair[1].row_id, pair[1].source, pair[1].line))
            (self._folder / f"{bucket}.parquet").unlink()
