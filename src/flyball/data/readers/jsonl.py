"""JSON Lines: one object a line; a broken line is a problem of its own. I/O: reads a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import lines_of, open_utf8


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
