"""Held-out rows in a dataset folder, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flyball.data.rows import Row, RowWriter


def write_test_split(folder: Path, rows: Sequence[tuple[str, str | None]]) -> Path:
    """Write (text, label) rows as the folder's test split; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with RowWriter(folder / "test.parquet", Row) as writer:
        for line, (text, label) in enumerate(rows, 1):
            writer.write(
                Row(
                    row_id=f"{line:064x}",
                    text=text,
                    label=label,
                    subject=None,
                    group=str(line),
                    source="tickets",
                    line=line,
                    steps=(),
                )
            )
    return folder
