"""The ledger: every record once, in an order of its own, with the edges between them. I/O: SQLite or PostgreSQL.

Records are stored as canonical bytes and are never changed; appending the same record again does nothing. Order is the
ledger's sequence, never a clock: a project has one writer at a time, so a reader that goes on after a sequence number
misses nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Connection, Engine, Executable, Pool, Table, and_, select, text

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.records import JSON, KINDS, Record, canonical_bytes, name_of, parents_of, parse
from flyball.storage import tables
from flyball.storage.connections import connect
from flyball.storage.database_errors import LedgerAway, explained
from flyball.storage.schema import bring_up_to_date

EXPERIMENT = "experiment"
"""Beside a record that an experiment of DVC built first, its name is recorded under this key."""

R = TypeVar("R")
_ONE_WRITER = text("SELECT pg_advisory_xact_lock(hashtextextended(:project, 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A record with its place in the ledger and what was recorded beside it (code version, locations, times)."""

    seq: int
    id: str
    record: Record
    recorded: Mapping[str, JSON]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`child` came from `parent` in the way that `relation` says."""

    child: str
    relation: str
    parent: str


class Ledger:
    """One project's view of the ledger; open it with `open_ledger`."""

    def __init__(self, engine: Engine, *, project: str) -> None:
        self.engine = engine
        self.project = project
        self._process = os.getpid()
        self._inherited: list[Pool] = []
        self._unchecked = False

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction, the project's only one that writes; it waits for the one before (30 s, then LockedError)."""
        with explained(self.engine), self._own_engine().begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_ONE_WRITER, {"project": self.project})
            yield connection

    @contextmanager
    def begin_beside(self, what: str) -> Iterator[Connection]:
        """One transaction that waits only for others of the same name: for rows with no place in the ledger's order.

        On SQLite, which has one writer, it waits for every other one.
        """
        with explained(self.engine), self._own_engine().begin() as connection:
            self.hold(connection, what)
            yield connection

    def hold(self, connection: Connection, what: str) -> None:
        """Wait, inside a transaction of another kind, for those begun beside it under this name."""
        if connection.dialect.name == "postgresql":
            connection.execute(_ONE_WRITER, {"project": f"{self.project}/{what}"})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads: it sees the ledger at one moment and waits for no writer."""
        with explained(self.engine), self._own_engine().connect() as connection:
            options: dict[str, Any] = {"readonly": True}
            if connection.dialect.name == "postgresql":
                options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            yield connection.execution_options(**options)

    def _own_engine(self) -> Engine:
        """The engine with connections of this process; those that a fork brought along are neither used nor closed."""
        if self._process != os.getpid():
            self._inherited.append(self.engine.pool)
            self.engine.dispose(close=False)
            self._process = os.getpid()
        if self._unchecked:
            bring_up_to_date(self.engine)
            self._unchecked = False
        return self.engine

    def append(
        self,
        record: Record,
        *,
        recorded: Mapping[str, JSON] | None = None,
        links: Iterable[tuple[str, str]] = (),
        connection: Connection | None = None,
    ) -> bool:
        """Add a record and its edges (`links`: further (relation, parent) pairs); False when it was there already."""
        if connection is None:
            with self.begin() as own:
                return self.append(record, recorded=recorded, links=links, connection=own)
        name = name_of(record)
        added = insert_new(
            connection,
            tables.records,
            {
                "id": name,
                "project": self.project,
                "type": type(record).__name__,
                "body": canonical_bytes(record),
                "recorded": msgspec.json.encode(recorded or {}).decode(),
                "at_ms": now_ms(),
            },
        )
        for relation, parent in (*parents_of(record), *links):
            insert_new(connection, tables.edges, {"child": name, "relation": relation, "parent": parent})
        return added

    def get(self, name: str, *, connection: Connection | None = None) -> Stored:
        """The record of this name (whole, or 8 or more first digits of a fingerprint); NotFoundError otherwise."""
        if connection is None:
            with self.read() as own:
                return self.get(name, connection=own)
        exact = tables.records.c.id == name
        prefix = tables.records.c.id.like(f"{name}%") if 8 <= len(name) < 64 and name.isalnum() else exact
        query = select(tables.records).where(tables.records.c.project == self.project)
        rows = connection.execute(query.where(exact)).all() or connection.execute(query.where(prefix).limit(2)).all()
        if len(rows) > 1:
            raise InputError(f"{name} is the beginning of several records", cure="give more digits")
        if not rows:
            raise NotFoundError(f"no record {name} in project {self.project}", cure="see `flyball status`")
        return stored(rows[0])

    def find(self, kind: type[R], *, limit: int = 100, after_seq: int = 0, newest_first: bool = True) -> list[Stored]:
        """Records of one type in ledger order (RequestRecord and Feedback have tables of their own)."""
        column = tables.records.c
        query = select(tables.records).where(
            and_(column.project == self.project, column.type == kind.__name__, column.seq > after_seq)
        )
        query = query.order_by(column.seq.desc() if newest_first else column.seq).limit(limit)
        with self.read() as connection:
            return [stored(row) for row in connection.execute(query)]

    def parents(self, name: str) -> list[Edge]:
        """Where a record came from."""
        with self.read() as connection:
            rows = connection.execute(select(tables.edges).where(tables.edges.c.child == name))
            return [Edge(child=row.child, relation=row.relation, parent=row.parent) for row in rows]

    def children(self, name: str) -> list[Edge]:
        """What came from a record."""
        with self.read() as connection:
            rows = connection.execute(select(tables.edges).where(tables.edges.c.parent == name))
            return [Edge(child=row.child, relation=row.relation, parent=row.parent) for row in rows]

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def now_ms() -> int:
    """Unix milliseconds: shown to people, never used for order."""
    return time.time_ns() // 1_000_000


def stored(row: Any) -> Stored:
    """A row of `records` as a Stored."""
    if row.type not in KINDS:
        raise CorruptionError(
            f"record {row.id} has the unknown type {row.type}", cure="it was written by a newer Flyball: upgrade"
        )
    record = cast(Record, parse(bytes(row.body), KINDS[row.type]))
    if name_of(record) != row.id:
        raise CorruptionError(
            f"the {row.type} {row.id} does not have the content that its name promises", cure="restore a backup"
        )
    return Stored(
        seq=row.seq,
        id=row.id,
        record=record,
        recorded=msgspec.json.decode(row.recorded),
        at_ms=row.at_ms,
    )


def insert_new(connection: Connection, table: Table, values: Mapping[str, object]) -> bool:
    """Insert a row unless its key is there already; True when it was new."""
    return connection.execute(_insert_once(table, connection.dialect.name), dict(values)).rowcount == 1


@cache
def _insert_once(table: Table, dialect: str) -> Executable:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # loads in 25 ms, only where it is used

        statement: Any = insert(table).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        statement = insert_sqlite(table).on_conflict_do_nothing()
    # `inline` asks for no RETURNING, after which a row count would not say whether the row was new
    return cast(Executable, statement.inline().execution_options(preserve_rowcount=True))


def open_ledger(url: str, *, project: str) -> Ledger:
    """Connect and bring the schema up to date; EnvironmentMissing when the database is not there."""
    engine = connect(url)
    with explained(engine):
        bring_up_to_date(engine)
    return Ledger(engine, project=project)


def reach_ledger(url: str, *, project: str) -> Ledger:
    """As `open_ledger`, for those who must start while the server is down: its schema is seen to once it is back."""
    try:
        return open_ledger(url, project=project)
    except LedgerAway:
        ledger = Ledger(connect(url), project=project)
        ledger._unchecked = True
        return ledger
