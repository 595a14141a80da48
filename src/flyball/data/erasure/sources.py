"""One person's rows taken out of a source, whatever its format. I/O: rewrites files atomically, removes text files.

Everybody else's rows keep their bytes, except in Parquet, which is rewritten.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from flyball.data.config import SourceConfig
from flyball.data.erasure.parquet_source import write_without
from flyball.data.erasure.subject_rows import (
    SubjectIds,
    as_in_file,
    find_elements,
    find_lines,
    is_persons,
    sought,
)
from flyball.data.readers.layout import Layout
from flyball.data.readers.physical_lines import physical_lines
from flyball.data.readers.source_file import open_plain
from flyball.data.readers.source_rows import look, read_source
from flyball.data.readers.text_folder import text_files
from flyball.errors import EnvironmentMissing


def rewrite_source(path: Path, config: SourceConfig, subject: str, key: bytes, *, names: Collection[str] = ()) -> int:
    """The source without the rows of the person with this keyed hash; how many went. Packing stays as it was.

    `names` are what the person is called, for lines that cannot be read.
    """
    who = sought(path, config, subject, key, names)
    if who is None:
        return 0
    layout, _ = look(path, config)
    match layout.format:
        case "parquet":
            return _rewrite_parquet(path, config, who)
        case "json":
            return _rewrite_document(path, config, layout, who)
        case "text":
            return _remove_files(path, config, who)
        case _:
            return _rewrite_lines(path, config, layout, who)


def _rewrite_lines(path: Path, config: SourceConfig, layout: Layout, who: SubjectIds) -> int:
    found, gone = find_lines(path, config, layout, who)
    if gone:
        with replaced_file(path) as target:
            for number, chunk in physical_lines(path, layout):
                if number not in gone:
                    target.write(chunk)
    return found


def _rewrite_document(path: Path, config: SourceConfig, layout: Layout, who: SubjectIds) -> int:
    content, cuts = find_elements(path, config, layout, who)
    if cuts:
        with open_plain(path) as stream:
            mark = stream.read(layout.bom)
        with replaced_file(path) as target:
            target.write(mark)
            at = 0
            for begin, end in [*cuts, (len(content), len(content))]:
                target.write(as_in_file(content[at:begin], layout))
                at = end
    return len(cuts)


def _remove_files(path: Path, config: SourceConfig, who: SubjectIds) -> int:
    """Text files of the person: one is one row."""
    files = text_files(path) if path.is_dir() else [path]
    if not files:
        return 0  # the reader refuses a folder without texts
    mine = [file for file, raw in zip(files, read_source(path, config), strict=True) if is_persons(raw, who)]
    for file in mine:
        file.unlink()
    return len(mine)


def _rewrite_parquet(path: Path, config: SourceConfig, who: SubjectIds) -> int:
    mine = [is_persons(raw, who) for raw in read_source(path, config)]
    if any(mine):
        with replaced_file(path) as target:
            write_without(path, mine, target)
    return sum(mine)


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
