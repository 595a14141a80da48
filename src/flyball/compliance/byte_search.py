"""Proof that something is gone: finds texts in every file below some folders. I/O: reads files.

Looks at raw bytes (so also at SQLite's free pages and write-ahead log) in every spelling of `spellings.py`, and inside
what `unpacking.py` understands. What cannot be read or unpacked is reported, never skipped in silence.
"""

from __future__ import annotations

import os
import re
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
HEAD = 64 << 10
SURE = 8
"""Bytes from which on a word is hardly anywhere by chance."""
AROUND = 8
"""Bytes beside a word that say whether it is one."""


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


@dataclass(frozen=True, slots=True)
class _Form:
    """One spelling of a needle; `whole`: how it looks as a word of its own; `in_text`: binary contents do not count."""

    plain: bytes
    needle: str
    how: str
    whole: re.Pattern[bytes] | None = None
    in_text: bool = False

    def stands_in(self, window: bytes, begin: int, end: int) -> bool:
        """Whether it is there; a word only where enough of what is around it is there too."""
        if self.plain not in window:
            return False
        if self.whole is None:
            return True
        return any(begin <= match.start() and match.end() <= end for match in self.whole.finditer(window))


def _word_forms(word: str) -> Iterator[_Form]:
    """The spellings of a word that may stand in anything by chance, such as 1005."""
    short = len(word.encode()) < SURE
    for form, how in spellings(word).items():
        exact = re.escape(form)
        if how == "utf-16-le":
            pattern = rb"(?<![0-9A-Za-z]\x00)" + exact + rb"(?![0-9A-Za-z]\x00)"
        elif how == "utf-16-be":
            pattern = rb"(?<!\x00[0-9A-Za-z])" + exact + rb"(?!\x00[0-9A-Za-z])"
        elif how in ("hex", "base64", "base64url"):
            if short:
                continue
            pattern = exact
        elif short and word.isdigit():  # a cell of a table or a text in JSON, and no key, step or index there
            pattern = rb"(?<![^\n\r,;\t|\"'])" + exact + rb"(?![^\n\r,;\t|\"'])(?!\"[ ]?:)"
        else:
            begins = rb"(?:(?<![0-9A-Za-z])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
            pattern = begins + exact + rb"(?![0-9A-Za-z])"
        yield _Form(form, word, how, re.compile(pattern), short)


class _Needles:
    """The needles in all spellings; `find` streams any amount of bytes through a bounded window."""

    def __init__(self, needles: Sequence[str], words: Sequence[str]) -> None:
        self.forms = [_Form(form, needle, how) for needle in needles for form, how in spellings(needle).items()]
        self.forms += [form for word in words for form in _word_forms(word)]
        self.overlap = max(len(form.plain) for form in self.forms) + 2 * AROUND

    def find(self, stream: IO[bytes]) -> tuple[set[tuple[str, str]], int]:
        found: set[tuple[str, str]] = set()
        total, window = 0, b""
        chunk = stream.read(CHUNK)
        forms = self.forms if _is_text(chunk[:HEAD]) else [form for form in self.forms if not form.in_text]
        begin = 0
        while chunk:
            total += len(chunk)
            window = window[-self.overlap :] + chunk
            chunk = stream.read(CHUNK)
            end = len(window) - (AROUND if chunk else 0)
            found.update((form.needle, form.how) for form in forms if form.stands_in(window, begin, end))
            begin = AROUND if len(window) > self.overlap else 0  # what stands before is in the window before
        return found, total


def _is_text(head: bytes) -> bool:
    """Whether bytes begin a text: no zeros, or those of UTF-16, which are one half of most pairs."""
    zeros = sorted((head[::2].count(0), head[1::2].count(0)))
    return not zeros[1] or head[:2] in (b"\xff\xfe", b"\xfe\xff") or (not zeros[0] and zeros[1] > 0.3 * len(head))


def search(roots: Iterable[Path], needles: Sequence[str]) -> list[Hit]:
    """Every place below `roots` (files or folders) where one of `needles` stands; see `search_all` for the counts."""
    return list(search_all(roots, needles).hits)


def search_all(roots: Iterable[Path], needles: Sequence[str], *, words: Sequence[str] = ()) -> Searched:
    """`search` with the number of files and bytes read, and what could not be read.

    `words` count only where no letter or digit is beside them; those under 8 bytes only in texts (also packed ones),
    and short numbers only as a cell or value: weights, vocabularies and counts hold each of them by chance.
    """
    if not needles or any(not spellings(needle) for needle in (*needles, *words)):
        raise InputError(f"needles too short to prove anything: {list(needles)}", cure="give texts of 4 bytes or more")
    wanted = _Needles(needles, words)
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
