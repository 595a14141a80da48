"""What each host says of its engines, and when it said so last: one row per host. I/O: the ledger.

A row is operational state, kept beside that of the monitors. Whether a host is there is told by one clock, the
server's; a host that says nothing for a few seconds counts as gone until it speaks again.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, select, update

from flyball.storage import tables
from flyball.storage.leases import clock_ms
from flyball.storage.ledger import Ledger, insert_new

FORGOTTEN_MS = 86_400_000
"""A host that said nothing for a day is not coming back under that name."""
_PREFIX = "host:"


class ReleaseState(msgspec.Struct, frozen=True, kw_only=True):
    """How the engines of one release stand on a host."""

    ready: int = 0
    wanted: int = 1
    failed: bool = False  # it cannot start there, or dies over and over
    problem: str | None = None
    down: str | None = None  # it has answered there, and does not any more


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says: its memory that is free, and its engines by release."""

    free_bytes: int
    releases: dict[str, ReleaseState]


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host by its name, what it said last, and how long ago."""

    name: str
    age_s: float
    state: HostState


def report(ledger: Ledger, name: str, state: HostState) -> None:
    """Say that a host is there and how its engines stand; a new one clears away those that are long gone."""
    key = {"project": ledger.project, "name": f"{_PREFIX}{name}"}
    column = tables.monitors.c
    with ledger.begin() as connection:
        now = clock_ms(connection)
        values = {"through_seq": now, "state": msgspec.json.encode(state).decode()}
        if not insert_new(connection, tables.monitors, key | values):
            same = (column.project == key["project"], column.name == key["name"])
            connection.execute(update(tables.monitors).where(*same).values(**values))
        else:
            gone = (column.name.startswith(_PREFIX), column.through_seq < now - FORGOTTEN_MS)
            connection.execute(delete(tables.monitors).where(column.project == ledger.project, *gone))


def known_hosts(ledger: Ledger) -> list[Host]:
    """Every host that has said something and did not take its leave, by name."""
    column = tables.monitors.c
    query = select(tables.monitors).where(column.project == ledger.project, column.name.startswith(_PREFIX))
    with ledger.read() as connection:
        now = clock_ms(connection)
        rows = connection.execute(query.order_by(column.name)).all()
    return [
        Host(
            name=row.name.removeprefix(_PREFIX),
            age_s=max(0, now - row.through_seq) / 1000,
            state=msgspec.json.decode(row.state, type=HostState),
        )
        for row in rows
    ]


def leave(ledger: Ledger, name: str) -> None:
    """Take a host's leave, so that nobody waits for it."""
    column = tables.monitors.c
    with ledger.begin() as connection:
        where = (column.project == ledger.project, column.name == f"{_PREFIX}{name}")
        connection.execute(delete(tables.monitors).where(*where))
