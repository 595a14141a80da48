"""Only files are opened, and only so much of them is taken in."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data.readers import source_file
from flyball.data.readers.source_rows import read_source
from flyball.errors import InputError, NotFoundError


def refused(path: Path, message: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=message) as caught:
        for _ in read_source(path):
            pass
    assert caught.value.cure


def test_pipes_devices_loops_and_dangling_links_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    (tmp_path / "null.jsonl").symlink_to("/dev/null")
    refused(tmp_path / "pipe.jsonl", "is a pipe, not a file")
    refused(tmp_path / "null.jsonl", "is a device")
    refused(tmp_path / "loop.jsonl", "a link that leads back to itself")
    refused(tmp_path / "gone.csv", "is a link to .*nowhere.csv, which is not there")


def test_gzip_that_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_file, "FREE_BYTES", 10_000)
    monkeypatch.setattr(source_file, "MAX_RATIO", 20)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 50_000))
    refused(tmp_path / "a.jsonl.gz", "unpacks to more than 20 times its size")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"x\n" * 50_000))
    refused(tmp_path / "b.csv.gz", "unpacks to more than 20 times its size")


def test_a_file_of_blank_lines_is_refused_before_it_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_file, "MAX_BLANK_LINES", 10_000)
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + b"\n" * 20_000)
    refused(tmp_path / "a.jsonl", "has more than 10,000 blank lines")


def test_a_parquet_dictionary_is_not_written_out_a_thousand_times(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), pa.array(["x" * 500_000]))
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    code = (
        "import sys; from pathlib import Path; from flyball.data.readers.source_rows import read_source;"
        "from flyball.telemetry import peak_memory_mb; import pyarrow.parquet; before = peak_memory_mb();"
        "print(sum(1 for _ in read_source(Path(sys.argv[1]))), peak_memory_mb() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.parquet")], check=True, capture_output=True, text=True
    )
    rows, grown = done.stdout.split()
    assert int(rows) == 600 and float(grown) < 150


def test_times_with_nanoseconds_and_beyond_pythons_years_are_rows_or_named_problems(tmp_path: Path) -> None:
    times = pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns"))
    far = pa.array([10**18, 0], pa.timestamp("s"))
    pq.write_table(pa.table({"text": ["a", "b"], "at": times}), tmp_path / "a.parquet", version="2.6")
    assert [row.problem for row in read_source(tmp_path / "a.parquet")] == ["", ""]
    pq.write_table(
        pa.table({"text": ["a", "b"], "at": far.cast(pa.timestamp("ms"), safe=False)}), tmp_path / "b.parquet"
    )
    found = list(read_source(tmp_path / "b.parquet"))
    assert len(found) == 2 and found[1].fields is not None


def test_a_folder_of_texts_is_a_row_each(tmp_path: Path) -> None:
    for name, text in (("pos/1.txt", "good"), ("neg/2.md", "b\u00e4d"), ("neg/3.pdf", "no"), (".git/4.txt", "no")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "pos/5.txt").symlink_to("/etc/hostname")
    assert [row.fields for row in read_source(tmp_path)] == [
        {"text": "b\u00e4d", "file": "neg/2.md", "folder": "neg"},
        {"text": "good", "file": "pos/1.txt", "folder": "pos"},
    ]


def test_json_documents_give_the_rows_of_their_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n {"a": 1},\n {"a": 1,\n  "b": 2},\n 3\n]')
    found = list(read_source(tmp_path / "a.json"))
    assert [(row.line, row.fields, row.problem) for row in found] == [
        (2, {"a": 1}, ""), (3, {"a": 1, "b": 2}, ""), (5, None, "malformed"),
    ]  # fmt: skip
    (tmp_path / "b.json").write_text('{\n"version": 1, "train": [{"a": 1}], "test": [{"a": 2}]}')
    assert [row.fields for row in read_source(tmp_path / "b.json")] == [
        {"a": 1, "split": "train"},
        {"a": 2, "split": "test"},
    ]


def test_millions_of_rejects_take_little_time(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n" + b"x\n" * 100_000)
    began = time.process_time()
    assert sum(row.fields is None for row in read_source(tmp_path / "a.csv")) == 100_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_an_object_of_rows_in_one_line_is_a_document_and_a_row_with_lists_is_a_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for text in ('{"version": 1, "rows": [{"a": 1}, {"a": 2}]}\n', '{"rows": [\n{"a": 1},\n{"a": 2}\n]}'):
        path.write_text(text)
        assert [row.fields for row in read_source(path)] == [{"a": 1}, {"a": 2}]
    path.write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    assert len(list(read_source(path))) == 1 and "messages" in (next(read_source(path)).fields or {})
    path.write_text('{"text": "x", "data": [{"a": 1}]}\n{"text": "y", "data": [{"a": 2}]}\n')
    assert [(row.fields or {})["text"] for row in read_source(path)] == ["x", "y"]
