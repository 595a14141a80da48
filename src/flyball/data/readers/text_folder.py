"""A folder of .txt and .md files, one row each; or one such file. I/O: reads files.

A row has `text`, `file` (its path in the folder) and `folder` (the name of the folder it lies in, often a label).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from flyball.data.readers.layout import encoding_of
from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import open_plain
from flyball.data.readers.source_format import SourceFormat
from flyball.errors import InputError

SUFFIXES = (".txt", ".md")
ROWS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq")
ABOUT = ("README", "LICENSE", "LICENCE", "NOTICE", "CHANGELOG", "CITATION")
"""Texts that tell of the files beside them."""
MAX_FILES = 200_000


def text_files(folder: Path) -> list[Path]:
    """The text files of a folder in a fixed order; hidden ones and links to elsewhere are left out."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        found += [path for path in files if path.suffix.lower() in SUFFIXES and _is_ours(path)]
        if len(found) > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} text files", cure="make them one JSONL file")
    return sorted(found)


def files_of_rows(folder: Path, files: Sequence[Path]) -> list[str]:
    """The names of a folder's files of rows, where its texts are none or only tell of them (README, LICENSE)."""
    if any(one.stem.split(".")[0].upper() not in ABOUT for one in files):
        return []
    return sorted(one.name for one in folder.iterdir() if {suffix.lower() for suffix in one.suffixes} & set(ROWS))


def _is_ours(path: Path) -> bool:
    """Whether a file belongs to the folder: it stands there, or DVC keeps its bytes in a cache."""
    return not path.is_symlink() or re.search(r"/[0-9a-f]{2}/[0-9a-f]{30}$", str(path.readlink())) is not None


def folder_rows(folder: Path, encoding: str | None) -> Iterator[RawRow]:
    """Every text file of the folder as a row; `line` counts the files."""
    files = text_files(folder) if folder.is_dir() else [folder]
    others = files_of_rows(folder, files) if folder.is_dir() else []
    if not files or others:
        cure = f"name one file: {', '.join(others[:10])}" if others else "name a file or another folder"
        about = f" but {', '.join(one.name for one in files)}" if files else ""
        raise InputError(f"{folder} holds no .txt or .md file{about}", cure=cure)
    for number, path in enumerate(files, 1):
        yield _row(path, folder, number, encoding)


def _row(path: Path, folder: Path, number: int, encoding: str | None) -> RawRow:
    with open_plain(path) as stream:
        content = stream.read(MAX_LINE_BYTES + 1)
    name = str(path.relative_to(folder)) if path != folder else path.name
    digest = hashlib.sha256(name.encode("utf-8", "replace") + b"\0" + content).digest()
    if len(content) > MAX_LINE_BYTES:
        detail = f"{name} is over {MAX_LINE_BYTES} bytes"
        return RawRow(line=number, digest=digest, problem="line too long", detail=detail)
    try:
        codec, mark = encoding_of(path, content, encoding)
        text = content[mark:].decode(codec)
    except (UnicodeDecodeError, InputError):
        return RawRow(line=number, digest=digest, problem="not UTF-8", detail=name)
    return RawRow(line=number, digest=digest, fields={"text": text, "file": name, "folder": path.parent.name})


FORMAT = SourceFormat(
    name="text",
    suffixes=SUFFIXES,
    words="text files, one row each; `folder` is the name of the folder it lies in",
    rows=lambda path, _layout, _head, config: folder_rows(path, config.encoding if config else None),
    is_text=False,
)
