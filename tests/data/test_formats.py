"""The same rows become the same dataset from every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rows_on_disk import build, rows


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_other_formats_build_the_same_rows_as_jsonl(tmp_path: Path, name: str) -> None:
    wanted: list[dict[str, Any]] = rows(60)
    if name.endswith("csv"):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label", "who"])
            writer.writeheader()
            writer.writerows(wanted)
    else:
        pq.write_table(pa.Table.from_pylist(wanted), tmp_path / name)
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wanted))
    first = build(tmp_path / name, tmp_path / "one")
    second = build(tmp_path / "b.jsonl", tmp_path / "two")
    assert first.splits == second.splits
