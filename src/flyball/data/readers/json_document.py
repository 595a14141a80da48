"""One JSON document of rows: an array of objects, or an object whose arrays hold them. I/O: reads a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flyball.data.readers.jsonl import json_row
from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import open_utf8
from flyball.data.readers.source_format import SourceFormat
from flyball.errors import InputError

MAX_BYTES = 512 * 1024 * 1024
"""A document is read whole; a larger one has to become JSON Lines."""


def document_rows(path: Path, layout: Layout) -> Iterator[RawRow]:
    """Every object of the document's array, or arrays (then `split` says which, unless the row has one)."""
    with open_utf8(path, layout) as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is a JSON document over {MAX_BYTES} bytes", cure=f"jq -c '.[]' {path} > rows.jsonl")
    decode = msgspec.json.Decoder().decode
    at, line = 0, 1
    for name, raw in _elements(path, content):
        data = bytes(raw)
        begin = content.find(data, at)
        line += content.count(b"\n", at, begin)
        at = begin
        digest = hashlib.sha256(data).digest()
        row = json_row(decode, line, data if len(data) <= MAX_LINE_BYTES else None, digest)
        if name and row.fields is not None:
            row.fields.setdefault("split", name)
        yield row
        line += data.count(b"\n")
        at += len(data)


def _elements(path: Path, content: bytes) -> Iterator[tuple[str, msgspec.Raw]]:
    """(the name of the array where there are several, one of its elements as it stands)."""
    try:
        content.decode("utf-8")
        if content.lstrip().startswith(b"["):
            arrays = {"": msgspec.json.decode(content, type=list[msgspec.Raw])}
        else:
            found = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            arrays = {
                name: msgspec.json.decode(raw, type=list[msgspec.Raw])
                for name, raw in found.items()
                if bytes(raw)[:1] == b"["
            }
            arrays = {name: rows for name, rows in arrays.items() if rows and bytes(rows[0])[:1] == b"{"}
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason} at byte {error.start}", cure="convert it") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a JSON document: {error}{_place(content, str(error))}",
            cure="check it with `jq . FILE`; of one object a line: .jsonl",
        ) from error
    if not arrays:
        raise InputError(f"{path} holds no array of objects", cure="make it JSON Lines: one row a line")
    for name, rows in arrays.items():
        yield from ((name if len(arrays) > 1 else "", raw) for raw in rows)


def _place(content: bytes, problem: str) -> str:
    """The line of the byte that a decoder names."""
    at = re.search(r"\(byte (\d{1,18})\)", problem)
    line = 1 + content.count(b"\n", 0, int(at[1])) if at else 0
    return f", in line {line}" if line else ""


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)


def element_spans(content: bytes) -> Iterator[list[tuple[int, int]]]:
    """Where the elements of each array of rows stand in a document (begin, end), spaces around them left out.

    An array is a list of rows under the same conditions as for `document_rows`; one whose name occurs twice counts too.
    """
    outer = 1 if content.lstrip().startswith(b"[") else 2
    depth, begin = 0, 0
    spans: list[tuple[int, int]] = []
    inside = False
    for token in _TOKEN.finditer(content):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth == outer and mark == b"[":
                inside, spans, begin = True, [], token.end()
        elif inside and depth == outer and mark in (b",", b"]"):
            data = content[begin : token.start()]
            if data.strip():
                first = begin + len(data) - len(data.lstrip())
                spans.append((first, first + len(data.strip())))
            begin = token.end()
        if mark in (b"]", b"}"):
            if inside and depth == outer:
                inside = False
                if outer == 1 or (spans and content[spans[0][0] : spans[0][0] + 1] == b"{"):
                    yield spans
            depth -= 1


FORMAT = SourceFormat(
    name="json",
    suffixes=(),  # told from JSON Lines by its first bytes
    words="one JSON document",
    rows=lambda path, layout, _head, _config: document_rows(path, layout),
)
