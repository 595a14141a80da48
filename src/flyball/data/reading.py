"""Reading a source row by row in bounded memory. I/O: reads JSONL, CSV, TSV and Parquet files, gzip too.

Every row comes out: as its fields, or with the problem that keeps it from having any. Whole-file readers of the usual
engines fail on the first broken line, so this is our own stream.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from flyball.errors import EnvironmentMissing, InputError, NotFoundError

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is rejected without being held in memory."""
PARQUET_BATCH = 1000
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One row of a source: 1-based line, digest of its bytes, and either its fields or the problem with it."""

    line: int
    digest: bytes
    fields: dict[str, Any] | None = None
    problem: str = ""
    detail: str = ""


def format_of(path: Path) -> str:
    """jsonl, csv or parquet, by the file's name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".gzip"):
        suffixes.pop()
    kind = SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise InputError(
            f"{path}: no reader for {''.join(path.suffixes) or 'a file without a suffix'}",
            cure=f"use one of {', '.join(sorted(SUFFIXES))} (with .gz too, except Parquet)",
        )
    return kind


def read_source(path: Path) -> Iterator[RawRow]:
    """Every row of `path`; InputError when it is no such file at all."""
    kind = format_of(path)
    if not path.is_file():
        raise NotFoundError(f"no file {path}", cure="mend `path` under data.sources in flyball.yaml")
    match kind:
        case "parquet":
            yield from _parquet_rows(path)
        case "csv":
            yield from _csv_rows(path, "\t" if ".tsv" in path.name.lower() else ",")
        case _:
            yield from _json_rows(path)


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when they are gzip; damaged gzip is an InputError."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file))) if packed else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip: {error}", cure="fetch or pack the file again") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", cure="check the file and its mode"
        ) from error


def lines_of(stream: BinaryIO) -> Iterator[tuple[int, bytes | None, bytes]]:
    """(1-based number, the line or None when it is too long, its digest); no blank lines, no byte order mark."""
    number = 0
    while chunk := stream.readline(MAX_LINE_BYTES):
        number += 1
        if number == 1:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf")
        if chunk.endswith(b"\n") or len(chunk) < MAX_LINE_BYTES:
            line = chunk.strip()
            if line:
                yield number, chunk.rstrip(b"\r\n"), hashlib.sha256(line).digest()
            continue
        digest = hashlib.sha256(chunk)
        while not chunk.endswith(b"\n") and (chunk := stream.readline(MAX_LINE_BYTES)):
            digest.update(chunk)
        yield number, None, digest.digest()


def _reject_utf16(path: Path, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16", cure=f"convert it: iconv -f UTF-16 -t UTF-8 {path}")


def _json_rows(path: Path) -> Iterator[RawRow]:
    decode = msgspec.json.Decoder().decode
    with open_plain(path) as stream:
        for number, line, digest in lines_of(stream):
            if number == 1 and line is not None:
                _reject_utf16(path, line)
            yield _json_row(decode, number, line, digest)


def _json_row(decode: Any, number: int, line: bytes | None, digest: bytes) -> RawRow:
    if line is None:
        return RawRow(line=number, digest=digest, problem="line too long", detail=f"over {MAX_LINE_BYTES} bytes")
    try:
        line.decode("utf-8")
        fields = decode(line)
    except UnicodeDecodeError as error:
        return RawRow(line=number, digest=digest, problem="not UTF-8", detail=f"{error.reason} at byte {error.start}")
    except RecursionError:
        return RawRow(line=number, digest=digest, problem="malformed", detail="nested too deeply")
    except msgspec.DecodeError as error:
        detail = "begins a JSON array" if line.lstrip().startswith(b"[") else str(error)
        return RawRow(line=number, digest=digest, problem="malformed", detail=detail)
    if not isinstance(fields, dict):
        detail = "a JSON array, not an object" if isinstance(fields, list) else "not an object"
        return RawRow(line=number, digest=digest, problem="malformed", detail=detail)
    if has_duplicate_keys(line, fields):
        return RawRow(line=number, digest=digest, problem="malformed", detail="a key occurs twice")
    return RawRow(line=number, digest=digest, fields=fields)


def has_duplicate_keys(line: bytes, fields: dict[str, Any]) -> bool:
    """Whether the outermost object names a key twice (decoders silently keep the last)."""
    if line.count(b'":') + line.count(b'" :') <= len(fields):
        return False
    top: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        top[:] = pairs  # the outermost object is finished last
        return {}

    try:
        json.loads(line, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return False
    return len({key for key, _ in top}) < len(top)


class _CsvLines:
    """Feeds csv.reader, and knows where the record began, which bytes it had, and what was wrong with a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self.lines = lines_of(stream)
        self.start = 0
        self.problem = ("", "")
        self.digest = hashlib.sha256()

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        number, line, digest = next(self.lines)
        self.start = self.start or number
        self.digest.update(digest)
        if line is None:
            self.problem = ("line too long", f"over {MAX_LINE_BYTES} bytes")
            return "\n"
        try:
            return line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            self.problem = ("not UTF-8", f"{error.reason} at byte {error.start}")
            return line.decode("utf-8", "replace") + "\n"

    def begin(self) -> None:
        self.start, self.problem, self.digest = 0, ("", ""), hashlib.sha256()


def _csv_rows(path: Path, delimiter: str) -> Iterator[RawRow]:
    csv.field_size_limit(MAX_LINE_BYTES)
    with open_plain(path) as stream:
        _reject_utf16(path, cast(io.BufferedReader, stream).peek(2)[:2])
        lines = _CsvLines(stream)
        reader = csv.reader(lines, delimiter=delimiter)
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise InputError(f"{path}: a column name occurs twice: {', '.join(header)}", cure="rename one of them")
        while True:
            lines.begin()
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield RawRow(line=lines.start, digest=lines.digest.digest(), problem="malformed", detail=str(error))
                continue
            yield _csv_row(lines, header, values)


def _csv_row(lines: _CsvLines, header: list[str], values: list[str]) -> RawRow:
    problem, detail = lines.problem
    if not problem and len(values) != len(header):
        problem, detail = "malformed", f"{len(values)} columns where the header has {len(header)}"
    digest = lines.digest.digest()
    if problem:
        return RawRow(line=lines.start, digest=digest, problem=problem, detail=detail)
    return RawRow(line=lines.start, digest=digest, fields=dict(zip(header, values, strict=True)))


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    try:
        import pyarrow as pa  # heavy, and in the `build` extra: a JSONL project does without it until it writes
        import pyarrow.parquet as pq
    except ImportError as error:
        raise EnvironmentMissing("pyarrow is not installed", cure='pip install "flyball[build]"') from error
    try:
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                for fields in batch.to_pylist():
                    number += 1
                    plain = json.dumps(fields, sort_keys=True, default=str, ensure_ascii=True)
                    yield RawRow(line=number, digest=hashlib.sha256(plain.encode()).digest(), fields=fields)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is no readable Parquet file: {error}", cure="check or write the file again"
        ) from error
