"""Forgets what has been kept long enough: sealed originals first, redacted texts later. I/O: the ledger.

Records stay: they hold no texts. Small batches, each in a transaction of its own, so that nobody waits for long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from flyball.records.identity import uuid7
from flyball.storage import tables
from flyball.storage.ledger import Ledger

BATCH = 1000
MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many originals were forgotten, how many redacted texts, and how many keys that sealed one request only."""

    sealed: int
    redacted: int
    keys: int


def expire(ledger: Ledger, now_ms: int, *, retention_days: float = 30.0) -> Expired:
    """Forget originals past their `expires_ms`, and redacted texts of requests older than `retention_days`.

    Age is read from the id: a UUIDv7; a feedback's carries the time of its request or its own.
    """
    oldest = uuid7(now_ms=max(0, now_ms - int(retention_days * MS_PER_DAY)), random=0)
    keys = 0

    def forget_sealed(connection: Connection) -> int:
        nonlocal keys
        column = tables.payloads.c
        due = select(column.id, column.subject).where(
            column.project == ledger.project, column.expires_ms <= now_ms, column.sealed.is_not(None)
        )
        rows = connection.execute(due.limit(BATCH)).all()
        connection.execute(update(tables.payloads).where(column.id.in_([row.id for row in rows])).values(sealed=None))
        keys += _forget_keys(connection, ledger.project, {row.subject for row in rows})
        return len(rows)

    def forget_redacted(connection: Connection) -> int:
        column = tables.payloads.c
        due = select(column.id).where(column.project == ledger.project, column.id < oldest, column.sealed.is_(None))
        names = list(connection.execute(due.limit(BATCH)).scalars())
        connection.execute(delete(tables.payloads).where(column.id.in_(names)))
        return len(names)

    sealed = _in_batches(ledger, forget_sealed)
    return Expired(sealed=sealed, redacted=_in_batches(ledger, forget_redacted), keys=keys)


def _forget_keys(connection: Connection, project: str, owners: set[str]) -> int:
    """Keys without a person (their owner is the id of a request or feedback, not a hash) that seal nothing any more."""
    key, payload = tables.subject_keys.c, tables.payloads.c
    in_use = select(payload.id).where(
        payload.project == project, payload.subject == key.subject, payload.sealed.is_not(None)
    )
    single = key.subject.in_([owner for owner in owners if "-" in owner])
    statement = delete(tables.subject_keys).where(key.project == project, single, ~in_use.exists())
    return connection.execute(statement).rowcount


def _in_batches(ledger: Ledger, forget: Callable[[Connection], int]) -> int:
    total = 0
    while True:
        with ledger.begin() as connection:
            done = forget(connection)
        total += done
        if done < BATCH:
            return total
