"""One person's rows taken out of a source, whatever its format. I/O: rewrites files atomically, removes text files.

The rows are those that the readers see, so that what was collected is what can be erased. A line that cannot be read
goes too when it names the person. Everybody else's lines keep their bytes.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from flyball.data.columns import value_of
from flyball.data.config import SourceConfig
from flyball.data.preparing import KEYED_HASH, PRODUCTION
from flyball.data.readers.layout import Layout
from flyball.data.readers.opening import open_plain, open_utf8
from flyball.data.readers.reading import look, read_source
from flyball.data.readers.text_folder import text_files
from flyball.data.rows import require_parquet, subject_hash
from flyball.errors import EnvironmentMissing, InputError
from flyball.records.identifiers import canonical_identifier, canonical_text

Owner = Callable[[Mapping[str, Any]], str | None]
_BETWEEN = re.compile(r"""[\s"',;|:{}\[\]()<>]+""")


def rewrite_source(path: Path, config: SourceConfig, subject: str, key: bytes, *, names: Collection[str] = ()) -> int:
    """The source without the rows of the person with this keyed hash; how many went. Packing stays as it was.

    `names` are what the person is called, for lines that cannot be read.
    """
    field = config.fields.subject
    if not field:
        return 0
    hashed = (config.name or path.name).startswith(PRODUCTION)

    def owner(fields: Mapping[str, Any]) -> str | None:
        try:
            value = canonical_identifier(value_of(fields, field))
        except InputError:
            return None
        if not value:
            return None
        return value if hashed and KEYED_HASH.fullmatch(value) else subject_hash(key, value)

    layout, _ = look(path, config)
    match layout.format:
        case "parquet":
            return _rewrite_parquet(path, owner, subject)
        case "json":
            return _rewrite_document(path, layout, owner, subject)
        case "text":
            return _remove_files(path, config, owner, subject)
        case _:
            return _rewrite_lines(path, config, layout, owner, subject, key, names)


def subjects_of(path: Path, config: SourceConfig) -> set[str]:
    """Everybody whom the rows of a source are about, by canonical name."""
    found = set()
    for raw in read_source(path, config):
        try:
            name = canonical_identifier(value_of(raw.fields or {}, config.fields.subject or ""))
        except InputError:
            continue
        if name:
            found.add(name)
    return found


def _rewrite_lines(
    path: Path,
    config: SourceConfig,
    layout: Layout,
    owner: Owner,
    subject: str,
    key: bytes,
    names: Collection[str],
) -> int:
    gone: set[int] = set()
    broken: set[int] = set()
    called = {*names}
    rows = 0
    for raw in read_source(path, config):
        lines = range(raw.line, raw.line + raw.lines)
        if raw.fields is None:
            broken.update(lines)
        elif owner(raw.fields) == subject:
            gone.update(lines)
            rows += 1
            called.add(str(value_of(raw.fields, config.fields.subject or "")))
    naming = _naming(path, layout, broken, called, subject, key) if broken else set()
    if gone or naming:
        with replaced_file(path) as target:
            for number, chunk in _physical(path, layout):
                if number not in gone and number not in naming:
                    target.write(chunk)
    return rows + len(naming)


def _naming(
    path: Path, layout: Layout, broken: set[int], called: Collection[str], subject: str, key: bytes
) -> set[int]:
    """Those of the broken lines in which the person is named: by a word, or by what other rows call them."""
    known = [re.escape(name) for name in called if name.strip()]
    anywhere = re.compile(r"(?<!\w)(?:" + "|".join(known) + r")(?!\w)") if known else None
    found = set()
    for number, chunk in _physical(path, layout):
        if number not in broken or number in found:
            continue
        text = chunk.decode(layout.encoding, "replace")
        words = {canonical_text(word.rstrip(".")) for word in _BETWEEN.split(text)}
        if (anywhere and anywhere.search(text)) or any(word and subject_hash(key, word) == subject for word in words):
            found.add(number)
    return found


def _physical(path: Path, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """(1-based number, bytes) of every line of the file as it stands there, a mark at its beginning included."""
    with open_plain(path) as stream:
        mark = stream.read(layout.bom)
    with open_utf8(path, layout) as stream:
        for number, line in enumerate(stream, 1):
            text = line
            if not layout.plain:
                plain = line.decode("utf-8", "surrogateescape")
                plain = plain.replace("\n", "\r") if layout.returns_alone else plain
                wide = layout.encoding.startswith(("utf-16", "utf-32"))
                text = plain.encode(layout.encoding, "replace" if wide else "surrogateescape")
            yield number, (mark if number == 1 else b"") + text


def _rewrite_document(path: Path, layout: Layout, owner: Owner, subject: str) -> int:
    with open_utf8(path, layout) as stream:
        document = msgspec.json.decode(stream.read())
    gone = 0

    def kept(rows: list[Any]) -> list[Any]:
        nonlocal gone
        left = [row for row in rows if not isinstance(row, dict) or owner(row) != subject]
        gone += len(rows) - len(left)
        return left

    if isinstance(document, list):
        document = kept(document)
    else:
        document = {name: kept(value) if isinstance(value, list) else value for name, value in document.items()}
    if gone:
        with replaced_file(path) as target:
            target.write(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    return gone


def _remove_files(path: Path, config: SourceConfig, owner: Owner, subject: str) -> int:
    """Text files of the person: one is one row."""
    files = text_files(path) if path.is_dir() else [path]
    mine = [
        file
        for file, raw in zip(files, read_source(path, config), strict=True)
        if owner(raw.fields or {"file": str(file.relative_to(path)), "folder": file.parent.name}) == subject
    ]
    for file in mine:
        file.unlink()
    return len(mine)


def _rewrite_parquet(path: Path, owner: Owner, subject: str) -> int:
    parquet = require_parquet()
    import pyarrow as pa  # heavy; see require_parquet

    table = parquet.read_table(path)
    mine = [raw.fields is not None and owner(raw.fields) == subject for raw in read_source(path)]
    gone = sum(mine)
    if gone:
        with replaced_file(path) as target:
            parquet.write_table(table.filter(pa.array([not one for one in mine])), target)
    return gone


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A writer whose bytes, packed when the file was, take its place and mode when the block ends well."""
    with path.open("rb") as old:
        packed = old.read(2) == b"\x1f\x8b"
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode | stat.S_IWUSR)  # DVC's own copies may not be written
            if packed:
                with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as inner:
                    yield cast(BinaryIO, inner)
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot rewrite {path}: {error.strerror or error}", cure="check its mode and the disk"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
