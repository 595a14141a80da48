"""Leases: who may act, told apart by an epoch that only grows. I/O: the ledger.

The holder of a lease calls `check` in the transaction of each write, so that a holder that was paused, cut off or
replaced changes nothing (fencing).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, select, text, update

from flyball.errors import LockedError
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms

STOPPED_MS = 5000
"""Transactions under a lease take milliseconds: one that idles for so long belongs to a process that was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to act under `name`, valid while no later epoch exists and its time runs."""

    name: str
    epoch: int
    holder: str


def acquire(ledger: Ledger, name: str, *, holder: str, ttl_s: float) -> Lease | None:
    """Take the lease when it is free, expired or already this holder's (a restart); None while another holds it."""
    column = tables.leases.c
    with ledger.begin() as connection:
        now = clock_ms(connection)
        row = connection.execute(select(tables.leases).where(column.name == name)).one_or_none()
        if row is not None and row.holder != holder and row.expires_ms > now:
            return None
        epoch = 1 if row is None else row.epoch + 1
        values = {"epoch": epoch, "holder": holder, "expires_ms": now + round(ttl_s * 1000)}
        if row is None:
            connection.execute(tables.leases.insert().values(name=name, **values))
        else:
            connection.execute(update(tables.leases).where(column.name == name).values(**values))
    return Lease(name=name, epoch=epoch, holder=holder)


def renew(ledger: Ledger, lease: Lease, *, ttl_s: float) -> bool:
    """Lengthen the lease; False when another epoch has begun, and the caller must stop acting."""
    with ledger.begin() as connection:
        expires = clock_ms(connection) + round(ttl_s * 1000)
        return connection.execute(update(tables.leases).where(_mine(lease)).values(expires_ms=expires)).rowcount == 1


def release(ledger: Ledger, lease: Lease) -> None:
    """Give the lease back, so that the next holder need not wait for its end; its epoch stays used."""
    with ledger.begin() as connection:
        connection.execute(update(tables.leases).where(_mine(lease)).values(expires_ms=0))


def check(connection: Connection, lease: Lease) -> None:
    """Raise LockedError unless the lease is still held; call it in the transaction that it guards.

    Nobody else can take the lease until that transaction ends, since a project has one writer at a time. On PostgreSQL,
    one whose process was stopped meanwhile is ended by the server, so that it holds up nobody for long.
    """
    query = select(tables.leases).where(tables.leases.c.name == lease.name)
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT set_config('idle_in_transaction_session_timeout', '{STOPPED_MS}', true)"))
    row = connection.execute(query).one_or_none()
    if row is not None and row.epoch == lease.epoch and row.expires_ms > clock_ms(connection):
        return
    found = "is gone" if row is None else f"is at epoch {row.epoch}, held by {row.holder}"
    raise LockedError(
        f"{lease.holder} lost the lease {lease.name}: its epoch {lease.epoch} has ended, the lease {found}",
        cure="nothing was written; the new holder goes on",
    )


def clock_ms(connection: Connection) -> int:
    """Unix milliseconds by one clock for all holders: the server's on PostgreSQL, the machine's on SQLite."""
    if connection.dialect.name != "postgresql":
        return now_ms()
    return int(connection.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")).scalar_one())


def _mine(lease: Lease) -> ColumnElement[bool]:
    column = tables.leases.c
    return and_(column.name == lease.name, column.epoch == lease.epoch)
