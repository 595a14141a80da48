"""Reading a source row by row in bounded memory, whatever its format. I/O: reads files.

Every row comes out: as its fields, or with the problem that keeps it from having any. Whole-file readers of the usual
engines fail on the first broken line, so this is our own stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flyball.data.config import SourceConfig
from flyball.data.readers.delimited import delimited_rows
from flyball.data.readers.json_document import document_rows
from flyball.data.readers.jsonl import json_rows
from flyball.data.readers.layout import (
    Layout,
    delimiter_of,
    encoding_of,
    ends_with_returns,
    escapes_quotes,
    format_of,
)
from flyball.data.readers.parquet import parquet_rows
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_file import kind_of_path, open_plain, require_file
from flyball.data.readers.text_folder import folder_rows

HEAD_BYTES = 1024 * 1024


def read_source(path: Path, config: SourceConfig | None = None) -> Iterator[RawRow]:
    """Every row of `path`; InputError when it is no such file at all."""
    layout, head = look(path, config)
    match layout.format:
        case "parquet":
            yield from parquet_rows(path)
        case "text":
            yield from folder_rows(path, config.encoding if config else None)
        case "csv":
            yield from delimited_rows(path, layout, head)
        case "json":
            yield from document_rows(path, layout)
        case _:
            yield from json_rows(path, layout)


def look(path: Path, config: SourceConfig | None = None) -> tuple[Layout, str]:
    """How a file is written, and its beginning as text: what the settings say, else what its first bytes show."""
    declared = config.format if config else None
    if kind_of_path(path) == "a folder":
        return Layout(format="text"), ""
    require_file(path)
    head = _head(path) if declared != "parquet" else b""
    kind = format_of(path, head, declared)
    if kind in ("parquet", "text"):
        return Layout(format=kind), ""
    encoding, mark = encoding_of(path, head, config.encoding if config else None)
    text = head[mark:].decode(encoding, "replace")
    if encoding != "utf-8":
        kind = format_of(path, text.encode("utf-8", "replace"), declared)
    returns = ends_with_returns(text)
    text = text.replace("\r", "\n") if returns else text
    quote = '"' if config is None or config.quote is None else config.quote
    if kind != "csv":
        return Layout(format=kind, encoding=encoding, bom=mark, returns_alone=returns), text
    return Layout(
        format=kind,
        encoding=encoding,
        bom=mark,
        returns_alone=returns,
        delimiter=(config.delimiter if config else None) or delimiter_of(path, text, quote),
        quote=quote,
        escape="\\" if quote and escapes_quotes(text) else "",
        columns=(config.columns if config else None) or (),
    ), text


def _head(path: Path) -> bytes:
    with open_plain(path) as stream:
        return stream.read(HEAD_BYTES)
