"""The audit chain: who did what, each entry hashed over the one before, so that any change shows. I/O: the ledger.

A chain cannot show by itself that its newest entries are missing: keep `head` outside (receipts and evidence packs do)
and hand it to `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from flyball.errors import CorruptionError
from flyball.records import JSON, canonical_json, fingerprint_of
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deed: who, what, to whom or what, with which details."""

    seq: int
    at_ms: int
    actor: str
    action: str
    subject: str
    details: Mapping[str, JSON]
    previous: str
    hash: str


def record(
    ledger: Ledger,
    *,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, JSON],
    connection: Connection | None = None,
) -> str:
    """Append an entry (in the caller's transaction where one is given); its hash."""
    if connection is None:
        with ledger.begin() as own:
            return record(ledger, actor=actor, action=action, subject=subject, details=details, connection=own)
    values: dict[str, Any] = {
        "project": ledger.project,
        "at_ms": now_ms(),
        "actor": actor,
        "action": action,
        "subject": subject,
        "details": canonical_json(details).decode(),
        "previous": _last_hash(connection, ledger.project),
    }
    digest = fingerprint_of(values)
    connection.execute(tables.audit.insert().values(hash=digest, **values))
    return digest


def verify(ledger: Ledger, *, including: str | None = None) -> int:
    """How many entries hold; CorruptionError at the first broken link, or when the entry `including` is missing."""
    previous, count, found = GENESIS, 0, including in (None, GENESIS)
    column = tables.audit.c
    with ledger.read() as connection:
        query = select(tables.audit).where(column.project == ledger.project).order_by(column.seq)
        for row in connection.execute(query.execution_options(yield_per=1000)).mappings():
            hashed = {key: value for key, value in row.items() if key not in {"seq", "hash"}}
            if row["previous"] != previous or fingerprint_of(hashed) != row["hash"]:
                raise _broken(f"entry {row['seq']} ({row['action']} by {row['actor']}) was changed or follows a gap")
            previous, count, found = row["hash"], count + 1, found or row["hash"] == including
    if not found:
        raise _broken(f"the entry {including} is missing")
    return count


def head(ledger: Ledger) -> str:
    """The hash of the newest entry: a person who keeps it can prove later that nothing before it is missing."""
    with ledger.read() as connection:
        return _last_hash(connection, ledger.project)


def entries(ledger: Ledger, limit: int = 100) -> list[Entry]:
    """The newest entries, newest first."""
    column = tables.audit.c
    query = select(tables.audit).where(column.project == ledger.project).order_by(column.seq.desc()).limit(limit)
    with ledger.read() as connection:
        rows = connection.execute(query).mappings().all()
    names = [name for name in Entry.__slots__ if name != "details"]
    return [Entry(details=msgspec.json.decode(row["details"]), **{name: row[name] for name in names}) for row in rows]


def _last_hash(connection: Connection, project: str) -> str:
    column = tables.audit.c
    query = select(column.hash).where(column.project == project).order_by(column.seq.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none() or GENESIS


def _broken(what: str) -> CorruptionError:
    return CorruptionError(f"the audit chain is broken: {what}", cure="restore the ledger from a backup")
