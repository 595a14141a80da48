"""A text is found however it is spelled and packed; a clean folder is clean."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sqlite3
import subprocess
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.compliance.byte_search import CHUNK, search, search_all
from flyball.compliance.text_encodings import base64_forms, spellings
from flyball.errors import InputError

NEEDLE = "Zoë Quux-Ångström"


def found(path: Path) -> set[str]:
    return {hit.inside for hit in search([path], [NEEDLE])}


@pytest.mark.parametrize(
    "content",
    [
        NEEDLE.encode(),
        NEEDLE.encode("utf-16-le"),
        NEEDLE.encode("utf-16-be"),
        json.dumps({"text": f"I am {NEEDLE}!"}).encode(),
        json.dumps({"body": json.dumps({"text": NEEDLE})}).encode(),
        base64.b64encode(f"I am {NEEDLE} of".encode()),
        base64.urlsafe_b64encode(f"m {NEEDLE} of".encode()),
        quote(NEEDLE).encode(),
        NEEDLE.encode().hex().encode(),
    ],
)
def test_a_needle_is_found_in_every_spelling(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.bin").write_bytes(os.urandom(50) + content + os.urandom(50))
    assert found(tmp_path) == {"raw"}


@given(before=st.binary(max_size=7), inside=st.binary(min_size=6, max_size=20), after=st.binary(max_size=7))
def test_base64_is_recognised_at_any_alignment(before: bytes, inside: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + inside + after)
    assert any(form in encoded for form in base64_forms(inside))


def test_a_needle_across_the_edge_of_two_chunks_is_found(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (CHUNK - 5) + NEEDLE.encode() + b"y")
    assert found(tmp_path) == {"raw"}


def test_a_needle_in_gzip_zip_and_zlib_is_found(tmp_path: Path) -> None:
    plain = (NEEDLE + " and more text that packs well " * 20).encode()
    (tmp_path / "a.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "b").write_bytes(zlib.compress(b"blob 9\0" + plain))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", plain)
    assert found(tmp_path) == {"gzip", "zlib", "zip:inner.txt"}


def test_a_needle_in_parquet_and_zstd_is_found(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"row {n}" for n in range(300)] + [NEEDLE], "steps": [["a", NEEDLE]] * 301})
    pq.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    with pa.CompressedOutputStream(pa.OSFile(str(tmp_path / "x.zst"), "wb"), "zstd") as out:
        out.write((NEEDLE + " lorem ipsum dolor sit amet" * 50).encode())
    assert {"parquet", "zstd"} <= found(tmp_path)


def test_a_needle_in_sqlite_is_found_in_free_pages_in_the_log_and_across_pages(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE t (v TEXT)")
        database.execute("INSERT INTO t VALUES (?)", ("x" * 9000 + NEEDLE + "y" * 9000,))
        assert "sqlite:t" in found(path)
        database.execute("DELETE FROM t")
        assert found(path) == {"raw"}, "deleted, but still on a free page"
        database.execute("PRAGMA secure_delete=ON")
        database.execute("VACUUM")
        assert found(path) == set()
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO t VALUES (?)", (NEEDLE,))
        assert {hit.path.name for hit in search([tmp_path], [NEEDLE])} == {"some.db", "some.db-wal"}
        database.execute("DELETE FROM t")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert found(tmp_path) == set()


def test_a_needle_in_git_is_found_loose_packed_and_unreachable(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "a.txt").write_text(f"first {NEEDLE}\n" + "line\n" * 100, encoding="utf-8")
    git("add", "-A")
    git("commit", "-m", "one")
    (tmp_path / "a.txt").write_text("clean\n" + "line\n" * 100, encoding="utf-8")
    git("commit", "-am", "two")
    assert found(tmp_path) == {"zlib"}
    git("gc", "--aggressive", "--prune=now")
    assert found(tmp_path) == {"git objects"}


def test_a_clean_folder_is_clean_and_the_count_shows_that_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(10_000))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.gz").write_bytes(gzip.compress(b"nothing here"))
    result = search_all([tmp_path], [NEEDLE])
    assert (result.hits, result.files, result.unread) == ((), 2, ())
    assert result.bytes_read > 10_000


def test_what_cannot_be_unpacked_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"hello" * 100)[:-12])
    assert [path.name for path, _ in search_all([tmp_path], [NEEDLE]).unread] == ["broken.gz"]


def test_a_needle_that_would_be_found_anywhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        search([tmp_path], [""])
    with pytest.raises(InputError):
        search([tmp_path], [])


def test_the_plain_spelling_comes_first() -> None:
    assert next(iter(spellings(NEEDLE).items())) == (NEEDLE.encode(), "utf-8")


@pytest.mark.parametrize(
    ("needle", "content"),
    [("org/ann", rb'"who": "org\/ann"'), ('an "n" n', b'hello,"an ""n"" n"'), ("\u00dcnal", "U\u0308nal".encode())],
)
def test_escapes_of_json_csv_and_unicode_do_not_hide_a_name(tmp_path: Path, needle: str, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert [hit.needle for hit in search([tmp_path], [needle])] == [needle]


@pytest.mark.parametrize(
    ("word", "content"),
    [
        ("ann.lee@x.org", b"hello\\nann.lee@x.org, bye"),
        ("ann.lee@x.org", b"\0\1 ann.lee@x.org\0"),
        ("C0042", b"user_C0042;x"),
        ("C0042", "id: C0042\n".encode("utf-16-le")),
        ("C0042", gzip.compress(b"id C0042")),
        ("1005", b"1005;x"),
        ("1005", b'{"a": "1005"}'),
    ],
)
def test_a_word_is_found_where_it_stands_alone(tmp_path: Path, word: str, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert search_all([tmp_path], ["no such needle"], words=[word]).hits


@pytest.mark.parametrize(
    ("word", "content"),
    [
        ("ann.lee@x.org", b"joann.lee@x.org"),
        ("C0042", b"C00421 xC0042"),
        ("C0042", b"\0\1\2C0042\0"),
        ("C0042", "C00421".encode("utf-16-le")),
        ("1005", b'{"step": 1005, "1005": 3, "x":1005}'),
        ("1005", b"it was 1005 once"),
        ("C0042", b"MDA0Mg QzAwNDI 4330303432"),
    ],
)
def test_a_word_inside_another_or_among_binary_bytes_is_chance(tmp_path: Path, word: str, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert not search_all([tmp_path], ["no such needle"], words=[word]).hits


@pytest.mark.parametrize("shift", range(-24, 2))
def test_a_word_at_the_edge_of_two_chunks_is_judged_by_what_is_around_it(tmp_path: Path, shift: int) -> None:
    before = b" " * (CHUNK + shift)
    (tmp_path / "a").write_bytes(before + b" C0042 ")
    assert search_all([tmp_path], ["no such needle"], words=["C0042"]).hits
    for other in (b"xC0042 ", b" C00421"):
        (tmp_path / "a").write_bytes(before + other)
        assert not search_all([tmp_path], ["no such needle"], words=["C0042"]).hits
