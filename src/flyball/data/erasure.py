"""One person's rows taken out of a dataset folder and out of a source file. I/O: rewrites folders and files atomically.

Nothing of the old bytes is reused: files are written anew, so that no page of the old ones survives in the new ones.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from flyball.data.building import Books
from flyball.data.config import SourceConfig
from flyball.data.folders import replaced_folder
from flyball.data.preparing import KEYED_HASH, PRODUCTION, as_text
from flyball.data.profile import make_profile
from flyball.data.reading import format_of, open_plain
from flyball.data.rows import (
    REJECTS,
    SPLITS,
    Reject,
    Row,
    RowWriter,
    read_rejects,
    read_rows,
    require_parquet,
    subject_hash,
)
from flyball.data.version import split_ref
from flyball.errors import EnvironmentMissing
from flyball.records import DatasetVersion, fingerprint

Owner = Callable[[Mapping[str, Any]], str | None]


def rewrite_without(
    folder: Path, subject: str, out: Path, previous: DatasetVersion, *, key: bytes
) -> tuple[DatasetVersion, int]:
    """The dataset of `folder` without the rows and rejects of the person with this keyed hash, and how many went.

    `out` may be `folder`. The new version names the previous one as its parent; when the person has no row there, the
    previous version comes back and nothing is written.
    """
    gone = sum(row.subject == subject for split in SPLITS for row in read_rows(folder, split))
    gone += sum(reject.subject == subject for reject in read_rejects(folder))
    if not gone:
        return previous, 0
    books = Books()
    with replaced_folder(out) as target:
        lost = _copy_rejects(folder, target, subject, books)
        for split in SPLITS:
            with RowWriter(target / f"{split}.parquet", Row) as writer:
                for row in read_rows(folder, split):
                    if row.subject == subject:
                        lost[row.source] += 1
                    else:
                        books.keep(split, row, writer)
        make_profile(target, key)
    return _without(previous, books, lost), gone


def _copy_rejects(folder: Path, target: Path, subject: str, books: Books) -> Counter[str]:
    """Everybody else's rejects; how many of the person's there were by source."""
    lost: Counter[str] = Counter()
    with RowWriter(target / f"{REJECTS}.parquet", Reject) as writer:
        for reject in read_rejects(folder):
            if reject.subject == subject:
                lost[reject.source] += 1
            else:
                books.drop(reject, writer)
    return lost


def _without(previous: DatasetVersion, books: Books, lost: Counter[str]) -> DatasetVersion:
    return replace(
        previous,
        parents=(fingerprint(previous),),
        sources=tuple(replace(source, rows=source.rows - lost[source.name]) for source in previous.sources),
        splits=tuple(split_ref(side, books.row_ids[side]) for side in SPLITS),
        labels=tuple(sorted(books.labels)) if previous.task == "classification" else (),
        rows_in=previous.rows_in - lost.total(),
        dropped=dict(sorted(books.dropped.items())),
        changed=dict(sorted(books.changed.items())),
    )


def rewrite_source(path: Path, config: SourceConfig, subject: str, key: bytes) -> int:
    """The source file without the rows of the person with this keyed hash; how many went. Packing stays as it was.

    A JSON line that cannot be read goes too when it names the person, by the field or by the plain identifier.
    """
    field = config.fields.subject
    if not field:
        return 0
    hashed = (config.name or path.name).startswith(PRODUCTION)

    def owner(fields: Mapping[str, Any]) -> str | None:
        value = as_text(fields.get(field))
        if not value:
            return None
        return value if hashed and KEYED_HASH.fullmatch(value) else subject_hash(key, value)

    match format_of(path):
        case "parquet":
            return _rewrite_parquet(path, owner, subject)
        case "csv":
            return _rewrite_csv(path, owner, subject, "\t" if ".tsv" in path.name.lower() else ",")
        case _:
            return _rewrite_lines(path, owner, subject, field)


def _rewrite_lines(path: Path, owner: Owner, subject: str, field: str) -> int:
    names: set[bytes] = set()
    with open_plain(path) as lines:
        for line in lines:
            names.update(name for name, fields in named_in(line, field) if owner(fields) == subject)
    if not names:
        return 0
    anywhere = re.compile(b"|".join(rb"(?<!\w)" + re.escape(name) + rb"(?!\w)" for name in sorted(names)))
    gone = 0
    with replaced_file(path) as target, open_plain(path) as lines:
        for line in lines:
            fields = fields_of(line)
            if anywhere.search(line) if fields is None else owner(fields) == subject:
                gone += 1
            else:
                target.write(line)
    return gone


def fields_of(line: bytes) -> Mapping[str, Any] | None:
    """The object on a line, or None when it cannot be read."""
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def named_in(line: bytes, field: str) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    """Whom a line names: (identifier as it stands in the file, fields); of a broken line whatever looks like it."""
    fields = fields_of(line)
    if fields is not None:
        value = as_text(fields.get(field))
        if value:
            yield value.encode("utf-8", "replace"), fields
        return
    for found in re.finditer(rb'"' + re.escape(field.encode()) + rb'"\s*:\s*(?:"([^"\\]+)"|(-?\d+))', line):
        name = found[1] or found[2]
        yield name, {field: name.decode("utf-8", "replace")}


def _rewrite_csv(path: Path, owner: Owner, subject: str, delimiter: str) -> int:
    gone = 0
    with replaced_file(path) as raw, open_plain(path) as stream:
        lines = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
        target = io.TextIOWrapper(raw, "utf-8", "surrogateescape", newline="", write_through=True)
        reader = csv.reader(lines, delimiter=delimiter)
        writer = csv.writer(target, delimiter=delimiter, lineterminator="\n")
        header = next(reader, [])
        writer.writerow(header)
        for values in reader:
            if owner(dict(zip(header, values, strict=False))) == subject:
                gone += 1
            else:
                writer.writerow(values)
        target.detach()
        lines.detach()
    return gone


def _rewrite_parquet(path: Path, owner: Owner, subject: str) -> int:
    parquet = require_parquet()
    import pyarrow as pa  # heavy; see require_parquet

    table = parquet.read_table(path)
    kept = [fields for fields in table.to_pylist() if owner(fields) != subject]
    gone: int = table.num_rows - len(kept)
    if gone:
        with replaced_file(path) as target:
            parquet.write_table(pa.Table.from_pylist(kept, schema=table.schema), target)
    return gone


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A writer whose bytes, packed when the file was, take its place and mode when the block ends well."""
    with path.open("rb") as old:
        packed = old.read(2) == b"\x1f\x8b"
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode)
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
