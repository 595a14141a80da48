"""Hard budgets, leased from the ledger in small slices. I/O: the ledger.

A worker may only spend what a slice grants, and all slices together never exceed the limit. An open slice counts in
full; settled, it counts what was spent. So a dead worker's slice costs at most its grant, never an overrun.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from flyball.records.identity import uuid7
from flyball.storage import tables
from flyball.storage.leases import clock_ms
from flyball.storage.ledger import Ledger

SHARE = 0.01
"""The largest part of a budget that one slice grants."""
TTL_S = 60.0
"""How long a worker may spend from a slice; later it counts in full unless its segments say otherwise."""
_DUST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The right of one worker to spend `granted_usd` of a budget until `expires_ms`."""

    id: str
    budget_key: str
    period: str
    worker: str
    epoch: int
    granted_usd: float
    expires_ms: int


def current_period(now_s: float | None = None) -> str:
    """The calendar month in UTC, such as 2026-11."""
    return time.strftime("%Y-%m", time.gmtime(now_s))


def lease_slice(
    ledger: Ledger,
    *,
    budget_key: str,
    limit_usd: float,
    period: str,
    worker: str,
    want_usd: float,
    ttl_s: float = TTL_S,
) -> Slice | None:
    """At most `want_usd` and a hundredth of the limit; None when the budget is spent or fully granted."""
    column = tables.budget_slices.c
    with ledger.begin() as connection:
        _settle_expired(connection, ledger.project, budget_key, period)
        left = limit_usd - committed(connection, ledger.project, budget_key, period)
        granted = min(want_usd, limit_usd * SHARE, left)
        if granted <= _DUST * limit_usd:
            return None
        last = select(func.max(column.epoch)).where(*_of(ledger.project, budget_key, period))
        leased = Slice(
            id=uuid7(),
            budget_key=budget_key,
            period=period,
            worker=worker,
            epoch=(connection.execute(last).scalar_one() or 0) + 1,
            granted_usd=granted,
            expires_ms=clock_ms(connection) + round(ttl_s * 1000),
        )
        connection.execute(tables.budget_slices.insert().values(**_row(ledger.project, leased, "open", 0.0)))
    return leased


def settle_slice(ledger: Ledger, slice: Slice, spent_usd: float) -> bool:
    """Give a slice back with what was spent of it; False when it was settled already (too late: it counted in full)."""
    column = tables.budget_slices.c
    where = (column.id == slice.id, column.epoch == slice.epoch, column.state == "open")
    with ledger.begin() as connection:
        settled = update(tables.budget_slices).where(*where).values(state="settled", spent_usd=spent_usd)
        return connection.execute(settled).rowcount == 1


def settle_worker(ledger: Ledger, worker: str, spent_usd: Mapping[str, float], *, period: str) -> None:
    """Count, for a worker that never returns, what its segments say it spent in a period, in place of all its slices.

    `spent_usd` is by budget and whole, so that settling the same worker again changes nothing.
    """
    column = tables.budget_slices.c
    with ledger.begin() as connection:
        mine = (column.project == ledger.project, column.worker == worker, column.period == period)
        connection.execute(update(tables.budget_slices).where(*mine).values(state="settled", spent_usd=0.0))
        for key, usd in spent_usd.items():
            book(connection, ledger.project, budget_key=key, period=period, worker=worker, usd=usd)


def book(connection: Connection, project: str, *, budget_key: str, period: str, worker: str, usd: float) -> None:
    """Count spend that no slice covered."""
    if usd > 0:
        spent = Slice(
            id=uuid7(), budget_key=budget_key, period=period, worker=worker, epoch=0, granted_usd=0.0, expires_ms=0
        )
        connection.execute(tables.budget_slices.insert().values(**_row(project, spent, "settled", usd)))


def spent(ledger: Ledger, budget_key: str, period: str) -> float:
    """Dollars spent of a budget so far, as far as slices were settled."""
    column = tables.budget_slices.c
    with ledger.read() as connection:
        query = select(func.sum(column.spent_usd)).where(*_of(ledger.project, budget_key, period))
        return float(connection.execute(query).scalar_one() or 0.0)


def committed(connection: Connection, project: str, budget_key: str, period: str) -> float:
    """Dollars spent or granted of a budget: what nobody else may have."""
    column = tables.budget_slices.c
    amount = case((column.state == "open", column.granted_usd), else_=column.spent_usd)
    query = select(func.sum(amount)).where(*_of(project, budget_key, period))
    return float(connection.execute(query).scalar_one() or 0.0)


def _settle_expired(connection: Connection, project: str, budget_key: str, period: str) -> None:
    column = tables.budget_slices.c
    expired = (column.state == "open", column.expires_ms <= clock_ms(connection))
    statement = update(tables.budget_slices).where(*_of(project, budget_key, period), *expired)
    connection.execute(statement.values(state="settled", spent_usd=column.granted_usd))


def _of(project: str, budget_key: str, period: str) -> tuple[Any, ...]:
    column = tables.budget_slices.c
    return column.project == project, column.budget == budget_key, column.period == period


def _row(project: str, slice: Slice, state: str, spent_usd: float) -> dict[str, object]:
    return {
        "id": slice.id,
        "project": project,
        "budget": slice.budget_key,
        "period": slice.period,
        "worker": slice.worker,
        "epoch": slice.epoch,
        "granted_usd": slice.granted_usd,
        "spent_usd": spent_usd,
        "state": state,
        "expires_ms": slice.expires_ms,
    }
