"""Dollars of workers that died: what their records say, in place of all that they held. I/O: the ledger.

Each batch of records that enters the ledger adds, in the same transaction, to what its worker is known to have spent.
Once a worker is dead and all its records are in, its open shares count as that much: exactly what its answers cost.
What was in flight when it died was not answered and costs nothing, so that a budget is overrun by no more than that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from flyball.cost.limit_leases import LIMITS, reap
from flyball.cost.pools import period_of
from flyball.records import RequestRecord
from flyball.storage import tables
from flyball.storage.batches import upsert_many
from flyball.storage.ledger import Ledger

Recorded = Mapping[tuple[str, str, str], float]
"""Dollars by worker, account and period."""


def recorded_spend(records: Iterable[tuple[str, RequestRecord]]) -> Recorded:
    """What these records (each with its worker's name) cost, by worker, account and period.

    A shadow's request counts against nobody, and nobody without a key has a budget.
    """
    sums: dict[tuple[str, str, str], float] = defaultdict(float)
    for worker, record in records:
        if record.mirrors is not None or record.key_id == "local" or not record.cost_usd:
            continue
        period = period_of(record.started_ms / 1000)
        sums[worker, f"key:{record.key_id}", period] += record.cost_usd
        if record.team is not None:
            sums[worker, f"team:{record.team}", period] += record.cost_usd
    return sums


def book_recorded(connection: Connection, project: str, spend: Recorded) -> None:
    """Add to what is known of workers' spend; call it in the transaction that files the records."""
    rows = [
        {"project": project, "worker": worker, "account": account, "period": period, "usd": usd}
        for (worker, account, period), usd in sorted(spend.items())
    ]
    upsert_many(connection, tables.worker_spend, rows, add=("usd",))


def settle_dead(ledger: Ledger, worker: str, *, complete: bool) -> None:
    """Count what a dead worker spent and free the rest; doing it again changes nothing.

    `complete`: all its records are in the ledger; else its open shares count in full.
    """
    with ledger.begin() as connection:
        ledger.hold(connection, LIMITS)
        names = _lives(connection, ledger.project, worker)
        if names:
            reap(connection, ledger.project, names)
            if complete:
                _settle(connection, ledger.project, worker, names)
        column = tables.worker_spend.c
        connection.execute(delete(tables.worker_spend).where(column.project == ledger.project, column.worker == worker))


def _settle(connection: Connection, project: str, worker: str, names: list[str]) -> None:
    """Put in place of expired shares what the worker had told of them, and what its records say beyond that."""
    share, spend = tables.limit_shares.c, tables.worker_spend.c
    query = select(spend.account, spend.period, spend.usd).where(spend.project == project, spend.worker == worker)
    recorded = {(row.account, row.period): row.usd for row in connection.execute(query)}
    mine = (share.project == project, share.worker.in_(names), share.kind == "usd")
    told = select(share.account, share.period, func.sum(share.spent).label("usd")).where(*mine)
    for row in connection.execute(told.group_by(share.account, share.period)):
        key = (row.account, row.period)
        recorded[key] = recorded.get(key, 0.0) - row.usd
    expired = select(tables.limit_shares).where(*mine, share.state == "expired").order_by(share.worker)
    for row in connection.execute(expired).all():
        untold = max(0.0, recorded.pop((row.account, row.period), 0.0))
        _close(connection, row, row.spent + untold)


def _close(connection: Connection, row: Any, usd: float) -> None:
    share = tables.limit_shares.c
    this = (share.account == row.account, share.kind == row.kind, share.period == row.period)
    statement = update(tables.limit_shares).where(share.project == row.project, share.worker == row.worker, *this)
    connection.execute(statement.values(state="settled", spent=usd, granted=usd))


def _lives(connection: Connection, project: str, worker: str) -> list[str]:
    """The names under which a worker leased: its own, and those it took after it had lost a lease."""
    share, leased = tables.limit_shares.c, tables.limit_workers.c
    names: set[str] = set()
    for table, column in ((tables.limit_shares, share), (tables.limit_workers, leased)):
        own = or_(column.worker == worker, column.worker.like(f"{worker}.%"))
        names |= set(
            connection.execute(select(column.worker).select_from(table).where(column.project == project, own)).scalars()
        )
    return sorted(names)
