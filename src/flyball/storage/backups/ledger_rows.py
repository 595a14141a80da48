"""A project's rows of the ledger as objects of a backup, and back, between SQLite and PostgreSQL too. I/O: both.

A table is cut where the hash of a row's key says so (content-defined chunks, as in Muthitacharoen et al., LBFS, 2001):
rows that come or go change the chunk that they are in, and a backup stores that chunk alone again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Table, column, select, table, text

from flyball.errors import CorruptionError, RefusedError
from flyball.storage import tables
from flyball.storage.backups.objects import Objects
from flyball.storage.ledger import Ledger

_MEAN_ROWS = 1024
_MOST_ROWS = 8192
_LEFT_OUT = frozenset({"limit_workers"})
"""What the workers of that moment held; they are gone when it is restored."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of a table, in the order of its key."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def keep_rows(connection: Connection, ledger: Ledger, objects: Objects) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The objects that hold a project's rows, by table, as one transaction sees them; and how many rows."""
    kept: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for each in tables.metadata.sorted_tables:
        if each.name in _LEFT_OUT:
            continue
        kept[each.name], counts[each.name] = [], 0
        for chunk in _chunks(each, _rows_of(connection, each, ledger.project)):
            kept[each.name].append(objects.keep(zlib.compress(msgspec.msgpack.encode(chunk))))
            counts[each.name] += len(chunk.rows)
    return kept, counts


def put_rows(connection: Connection, kept: Mapping[str, Sequence[str]], objects: Objects) -> dict[str, int]:
    """Write rows into empty tables of the schema that they came from; how many, by table."""
    counts: dict[str, int] = {}
    for name, chunks in kept.items():
        counts[name] = 0
        for chunk in (_decoded(objects, each) for each in chunks):
            target = table(name, *(column(each) for each in chunk.columns))
            connection.execute(target.insert(), [dict(zip(chunk.columns, row, strict=True)) for row in chunk.rows])
            counts[name] += len(chunk.rows)
            if connection.dialect.name == "postgresql" and chunk.columns[0] == "seq":
                sequence = f"pg_get_serial_sequence('{name}', 'seq')"
                connection.execute(text(f"SELECT setval({sequence}, (SELECT max(seq) FROM {name}))"))
    return counts


def check_empty(engine: Engine) -> None:
    """RefusedError unless the tables of a ledger hold nothing yet: a restored project is given one of its own."""
    with engine.connect().execution_options(readonly=True) as connection:
        for each in tables.metadata.sorted_tables:
            if connection.execute(select(text("1")).select_from(each).limit(1)).first() is not None:
                raise RefusedError(
                    f"the ledger {engine.url.render_as_string(hide_password=True)} has rows in {each.name}",
                    cure="restore into an empty folder and an empty database",
                )


def _rows_of(connection: Connection, each: Table, project: str) -> Iterator[Row[Any]]:
    query = select(each).order_by(*each.primary_key.columns)
    if "project" in each.columns:
        query = query.where(each.c.project == project)
    elif each.name == "edges":
        own = select(tables.records.c.id).where(tables.records.c.project == project)
        query = query.where(each.c.child.in_(own))
    elif each.name == "leases":  # their epochs may never go back
        query = query.where(each.c.name.endswith(f":{project}", autoescape=True))
    return iter(connection.execute(query.execution_options(yield_per=_MEAN_ROWS)))


def _chunks(each: Table, rows: Iterator[Row[Any]]) -> Iterator[Chunk]:
    names = tuple(f"{one.name}" for one in each.columns)  # plain ones: a quoted_name is a str of its own
    keys = [names.index(key.name) for key in each.primary_key.columns]
    held: list[tuple[Any, ...]] = []
    for row in rows:
        held.append(tuple(row))
        is_cut = zlib.crc32(repr([row[key] for key in keys]).encode()) % _MEAN_ROWS == 0
        if is_cut or len(held) == _MOST_ROWS:
            yield Chunk(names, held)
            held = []
    if held:
        yield Chunk(names, held)


def _decoded(objects: Objects, name: str) -> Chunk:
    try:
        return msgspec.msgpack.decode(zlib.decompress(objects.read(name)), type=Chunk)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise CorruptionError(
            f"the object {name[:12]}… holds no rows of a ledger: {error}", cure="it was written by a newer Flyball"
        ) from error
