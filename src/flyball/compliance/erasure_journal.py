"""The journal of an erasure, in the audit chain: it resumes after kill -9 and cannot be rewritten. I/O: the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from flyball.compliance.erasers import Traces
from flyball.compliance.subjects import Person
from flyball.records.identity import uuid7
from flyball.security import audit
from flyball.storage import tables
from flyball.storage.ledger import Ledger

BEGUN, STEP, DONE = "erasure.begin", "erasure.step", "erasure.end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """One erasure as far as it has come: what each store held before, what each has removed, and the receipt."""

    id: str
    plans: Mapping[str, Traces]
    steps: Mapping[str, Traces]
    receipt: Mapping[str, Any] | None


def latest(ledger: Ledger, person: Person) -> Journal | None:
    """The newest erasure of this person, finished or not."""
    column = tables.audit.c
    query = (
        select(column.action, column.details)
        .where(column.project == ledger.project, column.subject == person.hash)
        .where(column.action.in_((BEGUN, STEP, DONE)))
        .order_by(column.seq)
    )
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    journal: Journal | None = None
    for row in rows:
        details = msgspec.json.decode(row.details)
        if row.action == BEGUN:
            plans = msgspec.convert(details["plans"], dict[str, Traces])
            journal = Journal(id=details["erasure"], plans=plans, steps={}, receipt=None)
        elif journal is not None and row.action == STEP:
            traces = msgspec.convert(details["traces"], Traces)
            steps = {**journal.steps, details["store"]: traces}
            journal = Journal(id=journal.id, plans=journal.plans, steps=steps, receipt=None)
        elif journal is not None:
            journal = Journal(id=journal.id, plans=journal.plans, steps=journal.steps, receipt=details["receipt"])
    return journal


def begin(connection: Connection, ledger: Ledger, person: Person, plans: Mapping[str, Traces], actor: str) -> Journal:
    """Note what is about to be removed."""
    journal = Journal(id=uuid7(), plans=plans, steps={}, receipt=None)
    _note(connection, ledger, person, BEGUN, {"erasure": journal.id, "plans": dict(plans)}, actor)
    return journal


def step(connection: Connection, ledger: Ledger, person: Person, store: str, traces: Traces, actor: str) -> None:
    """Note that one store is done."""
    _note(connection, ledger, person, STEP, {"store": store, "traces": traces}, actor)


def end(connection: Connection, ledger: Ledger, person: Person, receipt: object, actor: str) -> None:
    """Keep the receipt."""
    _note(connection, ledger, person, DONE, {"receipt": receipt}, actor)


def _note(
    connection: Connection, ledger: Ledger, person: Person, action: str, details: Mapping[str, Any], actor: str
) -> None:
    audit.record(ledger, actor=actor, action=action, subject=person.hash, details=details, connection=connection)
