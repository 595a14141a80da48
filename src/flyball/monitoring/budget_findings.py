"""Budgets that are nearly or wholly spent: one finding each per month. I/O: the ledger.

A hard budget is never overrun: it counts as spent when less than a hundredth is left, which is less than most requests
need.
"""

from __future__ import annotations

import time

from flyball.cost.budgets import BudgetState, budget_states, declared_budgets
from flyball.cost.pools import period_of
from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new

NEARLY, SPENT = 0.8, 0.99


def watch_budgets(ledger: Ledger, *, now_s: float | None = None) -> list[Finding]:
    """The findings of budgets of keys and teams that passed a threshold since the last look."""
    now_s = time.time() if now_s is None else now_s
    found = []
    for state in budget_states(ledger, declared_budgets(ledger), now_s=now_s):
        for threshold in (NEARLY, SPENT):
            if state.used >= threshold:
                found += _once(ledger, state, threshold, period_of(now_s))
    return found


def _once(ledger: Ledger, state: BudgetState, threshold: float, period: str) -> list[Finding]:
    finding = _finding(ledger.project, state, threshold, period)
    name = f"spend:{state.account}:{period}:{threshold}"
    row = {"project": ledger.project, "name": name, "through_seq": 0, "state": "{}"}
    with ledger.read() as connection:
        column = tables.monitors.c
        query = tables.monitors.select().where(column.project == ledger.project, column.name == name)
        if connection.execute(query).one_or_none() is not None:
            return []
    with ledger.begin() as connection:
        if not insert_new(connection, tables.monitors, row):
            return []
        ledger.append(finding, connection=connection)
    return [finding]


def _finding(project: str, state: BudgetState, threshold: float, period: str) -> Finding:
    is_spent = threshold == SPENT
    what = "is spent: requests over it get 429" if is_spent else f"is {state.used:.0%} spent"
    return Finding(
        id=uuid7(),
        project=project,
        kind="spend",
        severity="critical" if is_spent else "warning",
        route="",
        release=None,
        measure="budget",
        value=state.spent_usd,
        reference=state.limit_usd,
        evidence={
            "account": state.account,
            "name": state.name,
            "period": period,
            "threshold": threshold,
            "forecast_usd": state.forecast_usd,
        },
        first_seq=0,
        last_seq=0,
        examples=(),
        explanation=(
            f"the budget of {state.name} ({state.limit_usd:g} USD for {period}) {what}; at this pace the month would "
            f"come to {state.forecast_usd:.4g} USD"
        ),
    )
