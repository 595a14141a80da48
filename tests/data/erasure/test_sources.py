"""One person's rows leave a source of any format and encoding; what others wrote keeps its bytes."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data.config import Fields, SourceConfig
from flyball.data.erasure.sources import rewrite_source
from flyball.data.erasure.subject_rows import rows_of_person, sought
from flyball.data.readers.source_rows import read_source
from flyball.data.rows import subject_hash
from flyball.errors import InputError
from flyball.records.identifiers import canonical_text
from rows_on_disk import FIELDS, KEY

CONFIG = SourceConfig(path="a", fields=FIELDS)


def erase(path: Path, name: str, config: SourceConfig = CONFIG) -> int:
    return rewrite_source(path, config, subject_hash(KEY, canonical_text(name) or ""), KEY, names=[name])


def person(name: Any, text: str = "hello there") -> dict[str, Any]:
    return {"text": text, "label": "a", "who": name}


def test_a_json_array_keeps_the_bytes_of_everybody_elses_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    first, other = b'{ "who" : "p1",\n     "text": "1.0e2, \\u00e9" , "n": 1.00 }', b'{"text":"b","who":2}'
    mine = b'{"text": "gone ], [", "who": "p3"}'
    path.write_bytes(b"[\n  " + mine + b",\n  " + first + b",\n" + mine + b",   " + other + b", " + mine + b"\n]\n")
    assert erase(path, "p3") == 3
    left = path.read_bytes()
    assert first in left and other in left and b"p3" not in left
    assert [row["who"] for row in json.loads(left)] == ["p1", 2]
    assert erase(path, "p3") == 0 and path.read_bytes() == left


def test_a_json_array_of_one_person_alone_becomes_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([person("p3"), person("p3")], indent=2))
    assert erase(path, "p3") == 2
    assert json.loads(path.read_text()) == []


def test_an_object_of_arrays_loses_rows_in_each_and_keeps_what_is_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    beside = b'"version": 1.0, "about": {"who": "p3 is a key, not a row"}'
    train, test = [person("p1"), person("p3")], [person("p3"), person("p2")]
    path.write_bytes(
        b'{\n %s,\n "train": %s,\n "test": %s}' % (beside, json.dumps(train).encode(), json.dumps(test).encode())
    )
    assert erase(path, "p3") == 2
    assert beside in path.read_bytes()
    found = json.loads(path.read_bytes())
    assert (found["train"], found["test"]) == (train[:1], test[1:])


def test_a_broken_element_of_a_json_array_that_names_the_person_goes_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"who": "p1", "text": "a"}, {"who": "p3", "who": "p3", "text": "a"}, "p3 said", "others"]')
    assert erase(path, "p3") == 2
    assert json.loads(path.read_text()) == [{"who": "p1", "text": "a"}, "others"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.csv.gz"])
def test_every_encoding_loses_the_rows_and_no_other_byte(tmp_path: Path, encoding: str, name: str) -> None:
    rows = [person("p1", "Größe — “curly”"), person("Zoë", "café au lait"), person("p2", "naïve, “said” he")]
    gaps = {"a.json": ("[", ",\r\n", "]")}.get(name, ("", "\r\n", "\r\n"))

    def written(rows: list[dict[str, Any]]) -> bytes:
        if ".csv" in name:
            lines = ["text,label,who", *(f'"{row["text"]}",{row["label"]},{row["who"]}' for row in rows)]
        else:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        data = (gaps[0] + gaps[1].join(lines) + gaps[2]).encode(encoding)
        return gzip.compress(data, mtime=0) if name.endswith("gz") else data

    path = tmp_path / name
    path.write_bytes(written(rows))
    config = SourceConfig(path="a", fields=FIELDS, encoding=encoding if encoding == "utf-32" else None)
    assert erase(path, "Zoe\u0308", config) == 1, "found in NFD too"
    wanted = written([rows[0], rows[2]])
    found = path.read_bytes()
    assert (gzip.decompress(found), gzip.decompress(wanted)) if name.endswith("gz") else (found, wanted)
    assert [row.fields for row in read_source(path, config)] == [rows[0], rows[2]]
    if not name.endswith("gz"):
        assert found == wanted


def lone_surrogate(encoding: str) -> bytes:
    """Half an emoji, as programs leave it that cut texts after so many units."""
    return '{"who": "p2", "text": "\ud83d"}\n'.encode(encoding, "surrogatepass")


@pytest.mark.parametrize(
    ("name", "encoding", "other"),
    [
        ("a.jsonl", "utf-16-le", lone_surrogate("utf-16-le") + b"\x00"),
        ("a.jsonl", "utf-16-be", lone_surrogate("utf-16-be")),
        ("a.jsonl", "utf-16", lone_surrogate("utf-16-le")),
        ("a.jsonl", "utf-32", lone_surrogate("utf-32-le")),
        ("a.jsonl", "utf-16-le", '{"who": "p2", "text": "\u0a00\u000a\u0a0a"}\n'.encode("utf-16-le")),
        ("a.csv", "cp932", b"p2,\xed\x40 \xfa\x5c \x81\xca,b\np4,\x81\n"),
        ("a.csv", "gb18030", b"p2,\x81\n\x813\x82\n\xc4\xc4,b\n"),
    ],
)
def test_what_an_encoding_does_not_give_back_keeps_its_bytes(
    tmp_path: Path, name: str, encoding: str, other: bytes
) -> None:
    code = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding)
    head = '{"who": "p0", "text": "a"}\n' if name == "a.jsonl" else "who,text,label\n"
    mine = '{"who": "p1", "text": "a"}\n' if name == "a.jsonl" else "p1,a,b\n"
    path = tmp_path / name
    path.write_bytes((head + mine).encode(code) + other)
    assert erase(path, "p1", SourceConfig(path="a", fields=FIELDS, encoding=encoding)) == 1
    assert path.read_bytes() == head.encode(code) + other


def test_a_line_of_any_length_is_looked_through_and_kept_in_little_memory(tmp_path: Path) -> None:
    path, name = tmp_path / "a.jsonl", "Łukasz Öberg-Çelik"
    others = b'{"who": "p2", "text": "' + b"lorem ipsum d" * 1_200_000 + b'"}\n'
    mine = b'{"text": "' + b"a" * (1024 * 1024 - 15) + f" {name} ".encode() + b"b" * 4_000_000 + b'"}\n'
    path.write_bytes(mine + others)
    tracemalloc.start()
    try:
        assert erase(path, name) == 1
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == others


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252"])
def test_line_ends_of_others_stay(tmp_path: Path, ends: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    lines = ["text,label,who", "é one,a,p1", "é two,a,p3", "é three,b,p2", "é four,a,p3"]
    path.write_bytes(ends.join(lines).encode(encoding))
    assert erase(path, "p3") == 2
    assert path.read_bytes() == (ends.join([*lines[:2], lines[3]]) + ends).encode(encoding)


def test_a_byte_that_the_encoding_does_not_have_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label,who\ncaf\xe9,a,p1\n\x81\xe9t\xe9,a,p2\nna\xefve,b,p3\n")
    config = SourceConfig(path="a", fields=FIELDS, encoding="cp1252")
    assert erase(path, "p3", config) == 1
    assert path.read_bytes() == b"text,label,who\ncaf\xe9,a,p1\n\x81\xe9t\xe9,a,p2\n"


@pytest.mark.parametrize(("field", "name"), [("folder", "ann"), ("file", "ann/1.txt")])
def test_text_files_of_the_person_go_and_others_stay(tmp_path: Path, field: str, name: str) -> None:
    folder = tmp_path / "notes"
    for who in ("ann", "bob"):
        (folder / who).mkdir(parents=True)
        for number in (1, 2):
            (folder / who / f"{number}.txt").write_text(f"{who} wrote {number}")
    (folder / "ann" / "2.txt").write_bytes(b"\xff\xfe\x00\xd8")  # no text at all: still a file of the folder
    config = SourceConfig(path="notes", fields=Fields(text="text", label=None, subject=field))
    assert erase(folder, name, config) == (2 if field == "folder" else 1)
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == (["bob/1.txt", "bob/2.txt"] if field == "folder" else ["ann/2.txt", "bob/1.txt", "bob/2.txt"])


def test_one_text_file_is_erased_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "ann.txt"
    path.write_text("I am ann")
    config = SourceConfig(path="ann.txt", fields=Fields(text="text", label=None, subject="file"))
    assert erase(path, "ann.txt", config) == 1
    assert not path.exists()


STRAY = [
    "text,label,who",
    "plain words,a,p1",
    '"a quote that never closes,a,p3',
    "more plain words,a,p2",
    '5" nails please,a,p3',
    'say ""hi"" there,b,p4',
    '"said ""yes"", twice",b,p3',
    '"two\nlines, mine",a,p3',
    '"two\nlines, others",a,p5',
]


@pytest.mark.parametrize("end", ["", "a last one,b,p6\n"])
def test_a_persons_rows_among_stray_quotes_go_and_nobody_elses(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(STRAY) + "\n" + end)
    erase(path, "p3")
    kept = [line for line in STRAY if not line.endswith(",p3")]
    assert path.read_text() == "\n".join(kept) + "\n" + end


def test_a_person_behind_an_unclosed_quote_goes_with_the_lines_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = ["who,text,label", 'p1,"opens here,a', "p3,what p3 wrote,a", 'p2,"opens too,b', "p3,more of it,b", "p4,x,a"]
    path.write_text("\n".join(lines) + "\n")
    assert erase(path, "p3") == 2
    assert path.read_text() == "\n".join([lines[0], lines[1], lines[3], lines[5]]) + "\n"


@pytest.mark.parametrize("name", ["u7", "77", "org/ann", 'an "n" n', "a\\b", "a,b", "x", "Ünal", "a b"])
@pytest.mark.parametrize("kind", ["plain", "escaped", "array", "csv", "broken"])
def test_short_and_escaped_names_are_found_in_every_spelling(tmp_path: Path, name: str, kind: str) -> None:
    people = [name, "p1", f"{name}7"]
    escaped = {who: json.dumps(who).replace("/", "\\/") for who in people}
    if kind == "csv":
        path = tmp_path / "a.csv"
        quoted = {who: '"' + who.replace('"', '""') + '"' for who in people}
        lines = ["text,label,who", *(f"hello,a,{quoted[who]}" for who in people)]
    else:
        path = tmp_path / ("a.json" if kind == "array" else "a.jsonl")
        plain = kind == "plain"
        lines = [
            json.dumps(person(who), ensure_ascii=False)
            if plain
            else '{"text": "hello", "label": "a", "who": ' + escaped[who] + (", !}" if kind == "broken" else "}")
            for who in people
        ]
        lines = [f"[{', '.join(lines)}]"] if kind == "array" else lines
    path.write_text("\n".join(lines) + "\n")
    assert erase(path, name) == 1
    text = path.read_text()
    assert "p1" in text and "7" in text
    assert name not in [(row.fields or {}).get("who") for row in read_source(path)]
    if kind == "broken":
        assert text == "\n".join(lines[1:]) + "\n"


def test_a_field_longer_than_the_csv_modules_limit_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "word " * 40_000
    path.write_text(f'text,label,who\n"{long}",a,p1\n"{long}",a,p3\nshort,b,p3\n')
    assert erase(path, "p3") == 2
    assert path.read_text() == f'text,label,who\n"{long}",a,p1\n'


def test_a_line_too_long_to_be_read_goes_when_it_names_the_person(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = "x" * (5 << 20)
    lines = [json.dumps(person(who, long)) for who in ("p1", "p3")]
    path.write_text("\n".join(lines) + "\n")
    assert erase(path, "p3") == 1
    assert path.read_text() == lines[0] + "\n"


def test_a_search_counts_what_erasing_removes_and_changes_nothing(tmp_path: Path) -> None:
    lines = [json.dumps(person("u7")), '{"who": "u7", !}', json.dumps(person("u77"))]
    for name, text in (("a.jsonl", "\n".join(lines) + "\n"), ("a.json", f'[{lines[0]}, "u7 said", {lines[2]}]')):
        path = tmp_path / name
        path.write_text(text)
        who = sought(path, CONFIG, subject_hash(KEY, "u7"), KEY, ["u7"])
        assert who is not None and rows_of_person(path, CONFIG, who) == 2
        assert path.read_text() == text
        assert erase(path, "u7") == 2
        assert rows_of_person(path, CONFIG, who) == 0


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json", "b.json", "a.parquet", "c.data", "notes"])
def test_the_only_person_of_a_source_can_be_erased_and_looked_for_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    config = CONFIG
    if name == "notes":
        (path / "u7").mkdir(parents=True)
        (path / "u7" / "1.txt").write_text("hello")
        config = SourceConfig(path="notes", fields=Fields(text="text", label=None, subject="folder"))
    elif name in ("a.parquet", "c.data"):
        pq.write_table(pa.Table.from_pylist([person("u7")]), path)
        config = SourceConfig(path=name, fields=FIELDS, format="parquet")
    else:
        row = json.dumps(person("u7"))
        kinds = {"a.csv": "text,label,who\nhello,a,u7\n", "a.json": f"[{row}]", "b.json": f'{{\n"rows": [\n{row}]}}\n'}
        path.write_text(kinds.get(name, row + "\n"))
    who = sought(path, config, subject_hash(KEY, "u7"), KEY, ["u7"])
    assert who is not None and rows_of_person(path, config, who) == 1
    assert erase(path, "u7", config) == 1
    assert rows_of_person(path, config, who) == 0
    assert erase(path, "u7", config) == 0


def test_a_row_whose_person_is_no_identifier_goes_when_it_names_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(person(who)) for who in (["p1", "u7"], ["p1", "u77"], {"name": "u7"}, 7, "u7")]
    path.write_text("\n".join(lines) + "\n")
    assert erase(path, "u7") == 3
    assert path.read_text() == "\n".join([lines[1], lines[3]]) + "\n"


def test_a_document_that_is_no_json_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"who": "u7", "text": "hello"},\n {"who": ')
    with pytest.raises(InputError, match="not a JSON document"):
        erase(path, "u7")
    assert path.read_text().endswith('{"who": ')


def test_row_groups_types_and_packing_of_parquet_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    times = pa.array([datetime.datetime(2020, 1, 1)] * 6, pa.timestamp("ns", "Europe/Berlin"))
    table = pa.table(
        {
            "text": [f"text {number}" for number in range(6)],
            "label": pa.array(["a", "b"] * 3).dictionary_encode(),
            "who": pa.array([decimal.Decimal(f"{number // 2}.00") for number in range(6)], pa.decimal128(10, 2)),
            "at": times,
            "parts": pa.array([[{"a": 1}]] * 6),
            "took": pa.array([1] * 6, pa.duration("ns")),
        }
    ).replace_schema_metadata({"huggingface": "{}"})
    pq.write_table(table, path, row_group_size=2, compression="zstd")
    assert erase(path, "1") == 2
    left = pq.read_table(path)
    assert left.equals(pa.concat_tables([table[:2], table[4:]])) and left.schema.equals(table.schema)
    assert left.schema.metadata == table.schema.metadata
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"
    assert erase(path, "0") == 2 and erase(path, "2") == 2 and pq.read_table(path).num_rows == 0
    assert erase(path, "2") == 0


def test_a_parquet_file_of_repeated_texts_is_not_unpacked_to_erase_a_row(tmp_path: Path) -> None:
    path, big = tmp_path / "a.parquet", "x" * 200_000
    with pq.ParquetWriter(path, pa.schema({"text": pa.string(), "label": pa.string(), "who": pa.string()})) as writer:
        for first in range(0, 1600, 800):
            who = [f"p{number}" for number in range(first, first + 800)]
            writer.write_table(pa.table({"text": [big] * 800, "label": ["a"] * 800, "who": who}))
    before = pa.total_allocated_bytes()
    pool = pa.default_memory_pool()
    assert erase(path, "p7") == 1
    assert pool.max_memory() - before < 300_000_000
