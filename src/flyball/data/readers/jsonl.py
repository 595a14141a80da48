"""JSON Lines: one object a line; a broken line is a problem of its own. I/O: reads a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import lines_of, open_utf8
from flyball.data.readers.source_format import SourceFormat

_KEY = re.compile(rb'"\s*:')


def json_rows(path: Path, layout: Layout) -> Iterator[RawRow]:
    """Every line of the file as a row."""
    decode = msgspec.json.Decoder().decode
    with open_utf8(path, layout) as stream:
        for number, line, digest in lines_of(path, stream):
            yield json_row(decode, number, line, digest)


def json_row(decode: Any, number: int, line: bytes | None, digest: bytes) -> RawRow:
    """One object, or what is wrong with it."""
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
    """Whether an object names a key twice, at any depth (decoders silently keep the last)."""
    if line.count(b":") <= len(fields) or len(_KEY.findall(line)) <= len(fields):
        return False
    twice = False

    def count(pairs: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len(dict(pairs)) < len(pairs)

    try:
        json.loads(line, object_pairs_hook=count)
    except (ValueError, RecursionError):
        return False
    return twice


FORMAT = SourceFormat(
    name="jsonl",
    suffixes=(".jsonl", ".ndjson", ".json"),
    words="JSON, one object a line",
    rows=lambda path, layout, _head, _config: json_rows(path, layout),
)
