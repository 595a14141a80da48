"""Older contents of a source, kept under a digest, are found by the rows in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data.config import Fields, SourceConfig
from flyball.data.erasure.subject_objects import Sources
from flyball.data.rows import subject_hash
from rows_on_disk import FIELDS, KEY

TEXTS = SourceConfig(path="notes", fields=Fields(text="text", label=None, subject="folder"))


def holding(tmp_path: Path, source: str, content: bytes, name: str = "u7") -> bool:
    found = tmp_path / "0123456789abcdef"
    found.write_bytes(content)
    sources = Sources(sources=[(tmp_path / source, SourceConfig(path=source, fields=FIELDS))], key=KEY)
    return list(sources.contents([found], subject_hash(KEY, name), [name])) == [(found, True)]


JSONL = b'{"text": "hello", "who": "p1"}\n{"text": "hello", "who": %s}\n'
CSV = "text,label,who\nhello,a,p1\nhello,a,%s\n"


@pytest.mark.parametrize(
    ("source", "content", "name"),
    [
        ("a.jsonl", JSONL % b'"u7"', "u7"),
        ("a.jsonl", JSONL % b"77", "77"),
        ("a.jsonl", JSONL % b"77.0", "77"),
        ("a.jsonl", JSONL % b'"org\\/ann"', "org/ann"),
        ("a.jsonl", JSONL % b'"x', "x"),
        ("a.jsonl.gz", gzip.compress(JSONL % b'"u7"', mtime=0), "u7"),
        ("a.json", b'[{"text": "a", "who": "p1"}, {"text": "b", "who": "u7"}]', "u7"),
        ("a.json", JSONL % b'"u7"', "u7"),
        ("a.csv", (CSV % "u7").encode(), "u7"),
        ("a.csv", (CSV % '"an ""n"" n"').encode(), 'an "n" n'),
        ("a.csv", b'text,label,who\nhello,a,p1\n"never closed,a,u7\n', "u7"),
        ("a.csv", (CSV % "Ünal").encode("utf-16"), "Ünal"),
        ("a.csv", (CSV % "Ünal").encode("cp1252"), "Ünal"),
        ("a.tsv", (CSV % "u7").replace(",", "\t").encode(), "u7"),
    ],
)
def test_a_person_is_found_in_every_format_and_spelling(tmp_path: Path, source: str, content: bytes, name: str) -> None:
    assert holding(tmp_path, source, content, name)
    assert not holding(tmp_path, source, content, "nobody")


@pytest.mark.parametrize("source", ["a.jsonl", "a.csv", "a.json", "a.parquet", "a.tsv", "a.jsonl.gz"])
@pytest.mark.parametrize(
    "content", [JSONL % b'"u7"', (CSV % "u7").encode(), (CSV % "u7").replace(",", ";").encode(), b'[{"who": "u7"}]']
)
def test_a_person_is_found_in_what_a_source_was_before_it_had_another_format(
    tmp_path: Path, source: str, content: bytes
) -> None:
    assert holding(tmp_path, source, content)
    assert not holding(tmp_path, source, content, "u77")


def test_a_person_is_found_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"text": "hello", "who": 77.0}]), tmp_path / "b")
    content = (tmp_path / "b").read_bytes()
    assert holding(tmp_path, "a.parquet", content, "77")
    assert holding(tmp_path, "a.jsonl", content, "77"), "the source was Parquet once"
    assert not holding(tmp_path, "a.jsonl", content, "nobody")


@pytest.mark.parametrize(
    "content", [b"", b"GGUF\0\1\2u7\n", b"u7\n", b'[1, "u7"]', b"\x1f\x8b damaged", b"a,b\nu7,1\n"]
)
@pytest.mark.parametrize("source", ["a.jsonl", "a.csv", "a.json", "a.parquet"])
def test_what_is_no_content_of_the_source_is_left_to_the_search_of_bytes(
    tmp_path: Path, source: str, content: bytes
) -> None:
    assert not holding(tmp_path, source, content)


def test_text_files_of_a_person_are_found_by_the_listing_of_their_folder(tmp_path: Path) -> None:
    names = ["u7/1.txt", "u77/1.txt", "u7/picture.png", "deep/u7/2.md"]
    listing = json.dumps([{"md5": name[::-1], "relpath": name} for name in names]).encode()
    sources = Sources(sources=[(tmp_path / "notes", TEXTS)], key=KEY)
    found = sources.listed(listing, subject_hash(KEY, "u7"), ["u7"])
    assert found == {"u7/1.txt"[::-1], "deep/u7/2.md"[::-1]}
    assert sources.listed(b"not json", subject_hash(KEY, "u7"), ["u7"]) == set()
