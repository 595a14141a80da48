"""Reading a source row by row in bounded memory, whatever its format. I/O: reads files.

Every row comes out: as its fields, or with the problem that keeps it from having any. Whole-file readers of the usual
engines fail on the first broken line, so this is our own stream.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from flyball.data.config import SourceConfig
from flyball.data.readers.catalog import FORMATS, SUFFIXES
from flyball.data.readers.layout import (
    Layout,
    delimiter_of,
    encoding_of,
    ends_with_returns,
    escapes_quotes,
    is_json_document,
)
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_file import kind_of_path, open_plain, require_file
from flyball.data.readers.source_format import SourceFormat
from flyball.errors import InputError, nearest

HEAD_BYTES = 1024 * 1024


def read_source(path: Path, config: SourceConfig | None = None) -> Iterator[RawRow]:
    """Every row of `path`; InputError when it is no such file at all."""
    layout, head = look(path, config)
    yield from FORMATS[layout.format].rows(path, layout, head, config)


def described(layout: Layout) -> str:
    """What a file is read as, for people."""
    one = FORMATS[layout.format]
    return layout.in_words(one.words, is_text=one.is_text)


def look(path: Path, config: SourceConfig | None = None) -> tuple[Layout, str]:
    """How a file is written, and its beginning as text: what the settings say, else what its first bytes show."""
    declared = config.format if config else None
    if kind_of_path(path) == "a folder":
        return Layout(format="text"), ""
    require_file(path)
    head = b"" if declared in FORMATS and not FORMATS[declared].is_text else _head(path)
    kind = format_of(path, head, declared)
    if not FORMATS[kind].is_text:
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


def format_of(path: Path, head: bytes, declared: str | None = None) -> str:
    """The format of a file by its settings, else its name; a .json file by its first bytes too."""
    if declared is not None:
        return declared_format(declared).name
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".gzip"):
        suffixes.pop()
    found = SUFFIXES.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise InputError(
            f"{path}: no reader for {''.join(path.suffixes) or 'a file without a suffix'}",
            cure=f"use one of {', '.join(sorted(SUFFIXES))} (with .gz too, except Parquet), or set"
            " data.sources[].format",
        )
    kind = found.name
    if kind == "text" and re.match(rb"\s*\[?\s*\{\s*\"", head.removeprefix(codecs.BOM_UTF8)):
        kind = "jsonl"  # rows that somebody saved under the name of a text
    return "json" if kind == "jsonl" and is_json_document(head, whole=suffixes[-1] in (".json", ".txt")) else kind


def declared_format(name: str) -> SourceFormat:
    """The format that `data.sources[].format` names; InputError where there is none."""
    if name not in FORMATS:
        close = nearest(name, list(FORMATS))
        raise InputError(
            f"data.sources[].format is {name!r}, not one of {', '.join(FORMATS)}",
            cure=f"did you mean {close}?" if close else "leave it out to go by the file's name",
        )
    return FORMATS[name]
