"""Budgets as they stand: limit, spent, leased, and where the month is heading. I/O: the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import case, func, select

from flyball.cost.pools import month_bounds, period_of
from flyball.storage import tables
from flyball.storage.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A hard budget per month: whose, and since when."""

    account: str  # "key:ID" or "team:NAME"
    name: str
    limit_usd: float
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One budget this month. `granted_usd` is leased to workers and not spent; the forecast goes on as so far."""

    account: str
    name: str
    limit_usd: float
    spent_usd: float
    granted_usd: float
    forecast_usd: float

    @property
    def used(self) -> float:
        """The part of the limit that is spent."""
        return self.spent_usd / self.limit_usd


def declared_budgets(ledger: Ledger) -> list[Budget]:
    """The budgets of all keys that are not revoked, oldest first, then of all teams, by name."""
    key, team = tables.api_keys.c, tables.teams.c
    keys = select(key.id, key.name, key.limits, key.created_ms).where(
        key.project == ledger.project, key.revoked_ms.is_(None)
    )
    teams = select(team.name, team.limits, team.created_ms).where(team.project == ledger.project)
    with ledger.read() as connection:
        found: list[tuple[str, Any]] = [(f"key:{row.id}", row) for row in connection.execute(keys.order_by(key.id))]
        found += [(f"team:{row.name}", row) for row in connection.execute(teams.order_by(team.name))]
    budgets = []
    for account, row in found:
        usd = msgspec.json.decode(row.limits).get("budget_usd")
        if usd is not None:
            budgets.append(Budget(account=account, name=row.name, limit_usd=usd, since_ms=row.created_ms))
    return budgets


def budget_states(ledger: Ledger, budgets: Iterable[Budget], *, now_s: float | None = None) -> list[BudgetState]:
    """Each budget with what was spent of it this month, as far as workers have told (they do every few seconds)."""
    now_s = time.time() if now_s is None else now_s
    begin, end = month_bounds(now_s)
    figures = _figures(ledger, period_of(now_s))
    states = []
    for budget in budgets:
        used, leased = figures.get(budget.account, (0.0, 0.0))
        from_s = max(begin, budget.since_ms / 1000)
        rate = used / max(now_s - from_s, 3600.0)
        states.append(
            BudgetState(
                account=budget.account,
                name=budget.name,
                limit_usd=budget.limit_usd,
                spent_usd=used,
                granted_usd=leased,
                forecast_usd=used + rate * (end - now_s),
            )
        )
    return states


def spent(ledger: Ledger, account: str, period: str) -> float:
    """Dollars spent of an account's budget in a period, as far as workers have told."""
    return _figures(ledger, period).get(account, (0.0, 0.0))[0]


def _figures(ledger: Ledger, period: str) -> dict[str, tuple[float, float]]:
    """By account: dollars spent, and dollars leased and not spent. An expired share counts as spent."""
    column = tables.limit_shares.c
    used = func.sum(case((column.state == "expired", column.granted), else_=column.spent))
    leased = func.sum(case((column.state == "open", column.granted - column.spent), else_=0.0))
    query = select(column.account, used.label("used"), leased.label("leased")).where(
        column.project == ledger.project, column.kind == "usd", column.period == period
    )
    with ledger.read() as connection:
        rows = connection.execute(query.group_by(column.account))
        return {row.account: (float(row.used), float(row.leased)) for row in rows}
