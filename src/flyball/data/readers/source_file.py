"""Opening a source: only what is a file, unpacked when it is gzip, as UTF-8 lines. I/O: reads files."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import MAX_BLANK_LINES, MAX_LINE_BYTES
from flyball.errors import InputError, NotFoundError

GZIP_MAGIC = b"\x1f\x8b"
MAX_RATIO = 200
"""How many times its size a packed file may grow; text of people grows three to ten times."""
FREE_BYTES = 1024 * 1024
"""Unpacked bytes below which the ratio does not matter."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_file(path: Path) -> None:
    """NotFoundError or InputError unless `path` leads to a regular file."""
    kind = kind_of_path(path)
    if kind != "a file":
        raise InputError(f"{path} is {kind}, not a file of rows", cure="give a file; check `path` under data.sources")


def kind_of_path(path: Path) -> str:
    """What a path leads to: a file, a folder, a pipe …; NotFoundError when to nothing, InputError when in circles."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        what = f"{path} is a link to {path.readlink()}, which is not there" if path.is_symlink() else f"no file {path}"
        raise NotFoundError(what, cure="fix `path` under data.sources in flyball.yaml") from error
    except OSError as error:
        loop = "it is a link that leads back to itself" if error.errno == 40 else error.strerror or str(error)
        raise InputError(f"{path} cannot be opened: {loop}", cure="check the path and who may read it") from error
    return next((name for test, name in _KINDS if test(mode)), "a file")


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when they are gzip; damaged or bloated gzip is an InputError."""
    require_file(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            yield _unpacked(path, file) if packed else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip: {error}", cure="fetch or pack the file again") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", cure="check the file and its mode"
        ) from error


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    size = max(1, path.stat().st_size)
    return cast(BinaryIO, io.BufferedReader(_Bounded(path, gzip.GzipFile(fileobj=file), size * MAX_RATIO)))


class _Bounded(io.RawIOBase):
    """Unpacked bytes until they are far more than packed ones ever are."""

    def __init__(self, path: Path, inner: gzip.GzipFile, most: int) -> None:
        self._path, self._inner, self._left = path, inner, max(most, FREE_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._path} unpacks to more than {MAX_RATIO} times its size",
                cure="unpack the file yourself if it is what you expect: gunzip",
            )
        buffer[: len(data)] = data
        return len(data)


class _Transcoded(io.RawIOBase):
    """A text file in any encoding as UTF-8 bytes whose lines end with a line feed.

    A byte that the encoding does not have stays as it is: it is no UTF-8, so that its line is rejected alone.
    """

    def __init__(self, inner: BinaryIO, layout: Layout) -> None:
        self._inner, self._returns = inner, layout.returns_alone
        errors = "replace" if layout.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(layout.encoding)(errors)
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            data = self._inner.read(64 * 1024)
            text = self._decoder.decode(data, final=not data)
            self._pending = (text.replace("\r", "\n") if self._returns else text).encode("utf-8", "surrogateescape")
            if not data:
                break
        part, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def open_utf8(path: Path, layout: Layout) -> Iterator[BinaryIO]:
    """The file as UTF-8 bytes without a mark at the beginning, whatever encoding it has."""
    with open_plain(path) as stream:
        stream.read(layout.bom)
        yield stream if layout.plain else cast(BinaryIO, io.BufferedReader(_Transcoded(stream, layout)))


def lines_of(path: Path, stream: BinaryIO, *, blank: bool = False) -> Iterator[tuple[int, bytes | None, bytes]]:
    """(1-based number, the line or None when it is too long, its digest).

    Blank lines are left out unless wanted (their digest is empty then).
    """
    number = blanks = 0
    while chunk := stream.readline(MAX_LINE_BYTES):
        number += 1
        if chunk.endswith(b"\n") or len(chunk) < MAX_LINE_BYTES:
            line = chunk.strip()
            if line:
                blanks = 0
                yield number, chunk.rstrip(b"\r\n"), hashlib.sha256(line).digest()
                continue
            blanks += 1
            if blanks > MAX_BLANK_LINES:
                raise InputError(
                    f"{path} has more than {MAX_BLANK_LINES:,} blank lines up to line {number:,}",
                    cure="remove them: grep -v '^$'",
                )
            if blank:
                yield number, b"", b""
            continue
        digest = hashlib.sha256(chunk)
        while not chunk.endswith(b"\n") and (chunk := stream.readline(MAX_LINE_BYTES)):
            digest.update(chunk)
        yield number, None, digest.digest()
