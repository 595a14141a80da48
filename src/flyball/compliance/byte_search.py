"""Proof that something is gone: finds texts in every file below some folders. I/O: reads files.

Looks at raw bytes (so also at SQLite's free pages and write-ahead log) in every spelling of `spellings.py`, and inside
what `unpacking.py` understands. What cannot be read or unpacked is reported, never skipped in silence.
"""

from __future__ import annotations

import os
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flyball.compliance.archives import views
from flyball.compliance.text_encodings import spellings
from flyball.errors import InputError

CHUNK = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One needle in one file: where inside it, and how it was spelled."""

    path: Path
    needle: str
    encoding: str
    inside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search found, how much it read, and what it could not read (path and reason)."""

    hits: tuple[Hit, ...]
    files: int
    bytes_read: int
    unread: tuple[tuple[Path, str], ...]


class _Needles:
    """The needles in all spellings; `find` streams any amount of bytes through a bounded window."""

    def __init__(self, needles: Sequence[str]) -> None:
        self.forms = [(form, needle, how) for needle in needles for form, how in spellings(needle).items()]
        self.overlap = max(len(form) for form, _, _ in self.forms) - 1

    def find(self, stream: IO[bytes]) -> tuple[set[tuple[str, str]], int]:
        found: set[tuple[str, str]] = set()
        total, tail = 0, b""
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            window = tail + chunk
            found.update((needle, how) for form, needle, how in self.forms if form in window)
            tail = window[-self.overlap :]
        return found, total


def search(roots: Iterable[Path], needles: Sequence[str]) -> list[Hit]:
    """Every place below `roots` (files or folders) where one of `needles` stands; see `search_all` for the counts."""
    return list(search_all(roots, needles).hits)


def search_all(roots: Iterable[Path], needles: Sequence[str]) -> Searched:
    """`search` with the number of files and bytes read, and what could not be read."""
    if not needles or any(not spellings(needle) for needle in needles):
        raise InputError(f"needles too short to prove anything: {list(needles)}", cure="give texts of 4 bytes or more")
    wanted = _Needles(needles)
    hits: dict[Hit, None] = {}
    unread: list[tuple[Path, str]] = []
    files = read = 0
    for path in files_below(roots):
        files += 1
        try:
            for inside, opened in views(path):
                with closing(opened):
                    found, size = wanted.find(opened)
                read += size if inside == "raw" else 0
                for needle, how in sorted(found):
                    hits.setdefault(Hit(path=path, needle=needle, encoding=how, inside=inside))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, sqlite3.Error, ValueError, RuntimeError) as error:
            unread.append((path, f"{type(error).__name__}: {error}"))
    return Searched(hits=tuple(hits), files=files, bytes_read=read, unread=tuple(unread))


def files_below(roots: Iterable[Path]) -> Iterator[Path]:
    """Every regular file at or below `roots`, in a stable order; links to folders are not followed."""
    for root in roots:
        if root.is_file():
            yield root
            continue
        for folder, names, files in os.walk(root):
            names.sort()
            for name in sorted(files):
                path = Path(folder, name)
                if path.is_file():
                    yield path
