"""A file as streams of bytes: as it is, and unpacked. I/O: reads files; copies SQLite files; runs `git cat-file`.

Understands gzip, zip, zlib (loose git objects), zstd and Parquet (both when pyarrow is installed), SQLite values (which
may be split over pages) and packed git objects.
"""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

SQLITE_MAGIC = b"SQLite format 3\0"


def views(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The file as it is, then unpacked in the way that its first bytes ask for."""
    yield "raw", path.open("rb")
    with path.open("rb") as file:
        head = file.read(16)
    yield from _unpacked(path, head)


def _unpacked(path: Path, head: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    readers: list[tuple[bool, Callable[[Path], Iterator[tuple[str, IO[bytes]]]]]] = [
        (head.startswith(b"\x1f\x8b"), _gzip),
        (head.startswith(b"PK\x03\x04"), _zip),
        (head.startswith(b"\x28\xb5\x2f\xfd"), _zstd),
        (head.startswith(b"PAR1"), _parquet),
        (head == SQLITE_MAGIC, _sqlite),
        (head.startswith(b"PACK") and path.suffix == ".pack", _git_pack),
        (_may_be_zlib(head), _zlib),
    ]
    for applies, reader in readers:
        if applies:
            yield from reader(path)


def _may_be_zlib(head: bytes) -> bool:
    return len(head) >= 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2], "big") % 31 == 0


def _gzip(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with gzip.open(path, "rb") as file:
        yield "gzip", cast(IO[bytes], file)


def _zip(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield f"zip:{name}", archive.open(name)


def _zlib(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        plain = zlib.decompressobj().decompress(path.read_bytes())
    except zlib.error:
        return  # two bytes looked like zlib by chance; the raw bytes were searched
    yield "zlib", io.BytesIO(plain)


def _zstd(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        import pyarrow as pa  # heavy, optional
    except ModuleNotFoundError as error:
        raise ValueError("zstd needs pyarrow to be unpacked") from error
    yield "zstd", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _parquet(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        import pyarrow.parquet as pq  # heavy, optional
    except ModuleNotFoundError as error:
        raise ValueError("Parquet needs pyarrow to be unpacked") from error
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            text = "\n".join(str(value) for row in batch.to_pylist() for value in _leaves(row))
            yield "parquet", io.BytesIO(text.encode("utf-8", "surrogatepass"))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _sqlite(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Every value of every table, from a copy: a value longer than a page is not in one piece in the file itself."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.db")
        for suffix in ("", "-wal"):
            source = Path(f"{path}{suffix}")
            if source.is_file():
                shutil.copyfile(source, f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as database:
            database.text_factory = bytes
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                name = table.decode().replace('"', '""')
                rows = database.execute(f'SELECT * FROM "{name}"')
                yield f"sqlite:{table.decode()}", cast(IO[bytes], _Values(rows))


class _Values(io.RawIOBase):
    """Rows of a cursor as one stream of bytes, a few rows at a time."""

    def __init__(self, rows: sqlite3.Cursor) -> None:
        self.rows = rows

    def read(self, _size: int = -1) -> bytes:
        values = (value for row in self.rows.fetchmany(256) for value in row)
        return b"".join(_as_bytes(value) + b"\n" for value in values)


def _as_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        return str(value).encode()
    if _may_be_zlib(value[:2]):
        try:
            return value + b"\n" + zlib.decompress(value)
        except zlib.error:
            return value
    return value


def _git_pack(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Every object that git can still read, reachable or not (deltas are resolved by git itself)."""
    repository = path.parent.parent.parent  # DIR/objects/pack/NAME.pack
    command = [
        "git",
        f"--git-dir={repository}",
        "cat-file",
        "--batch-all-objects",
        "--batch",
        "--unordered",
        "--buffer",
    ]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise ValueError("git is needed to unpack git objects") from error
    if process.stdout is None or process.stderr is None:
        raise ValueError("git gave no output")
    yield "git objects", process.stdout
    failure = process.stderr.read().decode(errors="replace").strip()
    process.stderr.close()
    if process.wait() != 0:
        raise ValueError(f"git cat-file failed: {failure}")
