"""Every row of a source comes out, or says what is wrong with it; a file that is none says so."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_rows import read_source
from flyball.errors import InputError, NotFoundError


def read(path: Path, content: bytes) -> list[RawRow]:
    path.write_bytes(content)
    return list(read_source(path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "a"', "malformed"),
        (b"plain words", "malformed"),
        (b"[1]", "malformed"),
        (b"null", "malformed"),
        (b'{"a": 1} {"b": 2}', "malformed"),
        (b'{"text": "raw \x00 nul"}', "malformed"),
        (b'{"text": "x", "text": "y"}', "malformed"),
        (b'{"text" : "x" , "other": 1, "text" : "y"}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"a":' * 100_000, "malformed"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'{"text": "' + b"x" * MAX_LINE_BYTES + b'"}', "line too long"),
        (b'{"n": NaN}', "malformed"),
    ],
)
def test_a_broken_line_is_a_problem_of_its_own_and_the_next_line_is_read(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    found = read(tmp_path / "a.jsonl", b'{"text": "one"}\n' + line + b'\n{"text": "three"}')
    assert [(row.line, row.problem) for row in found] == [(1, ""), (2, problem), (3, "")]
    assert found[1].detail


def test_keys_that_only_look_alike_are_no_duplicates(tmp_path: Path) -> None:
    lines = b'{"a": {"a": 1, "b": {"a": 2}}, "b": "\\"a\\": 1, \\"a\\": 2"}\n'
    assert read(tmp_path / "a.jsonl", lines)[0].fields == {"a": {"a": 1, "b": {"a": 2}}, "b": '"a": 1, "a": 2'}


def test_a_key_that_occurs_twice_is_seen_at_any_depth_and_behind_any_blanks(tmp_path: Path) -> None:
    for line in (
        b'{"who"  :"ann","n":1,"who"\t:"bob"}',
        b'{"a":1,"user":{"id":"ann","id":"bob"}}',
        b'{"l":[{"a":1,"a":2}]}',
    ):
        (found,) = read(tmp_path / "a.jsonl", line + b"\n")
        assert (found.fields, found.detail) == (None, "a key occurs twice"), line


def test_blank_lines_count_as_lines_but_not_as_rows_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n   \n{"a": 2}')
    assert [(row.line, row.fields) for row in found] == [(1, {"a": 1}), (4, {"a": 2})]


def test_the_same_rows_come_from_every_format(tmp_path: Path) -> None:
    wanted = [{"text": f'row {n}, "quoted"\nsecond line', "label": "ab"[n % 2]} for n in range(5)]
    lines = "".join(json.dumps(row) + "\n" for row in wanted)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name, delimiter in (("c.csv", ","), ("d.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(wanted)
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress((tmp_path / "c.csv").read_bytes()))
    pq.write_table(pa.Table.from_pylist(wanted), tmp_path / "f.parquet")
    for path in tmp_path.iterdir():
        assert [row.fields for row in read_source(path)] == wanted, path.name


def test_csv_rows_say_the_line_where_they_begin_and_what_is_wrong(tmp_path: Path) -> None:
    content = b'text,label\n"two\nlines",a\nshort\n\xff,b\nx,y,z\nlast,b\n'
    found = read(tmp_path / "a.csv", content)
    assert [(row.line, row.problem) for row in found] == [
        (2, ""), (4, "malformed"), (5, "not UTF-8"), (6, "malformed"), (7, ""),
    ]  # fmt: skip


def test_a_csv_quote_that_never_closes_is_rejected_and_not_read_into_memory(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'text,label\nok,a\n"open,' + b"x" * 1000 + b"\n" * 3)
    assert found[0].fields == {"text": "ok", "label": "a"}
    assert [row.problem for row in found[1:]] == ["unclosed quote"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", ("text\n" + "привет как дела\n" * 9).encode("cp1251"), "is not UTF-8; it may be cp1251"),
        ("a.json", b'[{"a": 1},]', "is not a JSON document"),
        ("a.json", b'{\n"a": 1\n}', "holds no array of objects"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 5000)[:-20], "damaged gzip"),
        ("a.jsonl.gz", b"\x1f\x8bnonsense", "damaged gzip"),
        ("a.parquet", b"PAR1 no", "not a readable Parquet file"),
        ("a.csv", b"a,a\n1,2\n", "a column name occurs twice"),
        ("a.xlsx", b"", r"no reader for \.xlsx"),
        ("a", b"", "no reader for a file without a suffix"),
    ],
)
def test_a_file_that_is_no_source_says_why_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name, content)
    assert caught.value.cure


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        list(read_source(tmp_path / "none.jsonl"))
