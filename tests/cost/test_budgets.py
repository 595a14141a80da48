"""Budgets as they stand, and what the month is heading for."""

from __future__ import annotations

import pytest

from flyball.cost.budgets import Budget, budget_states, declared_budgets
from flyball.cost.limit_leases import LeaseRequest, lease
from flyball.cost.pools import USD, month_bounds
from flyball.security.principals import create_key, revoke_key
from flyball.security.teams import set_team
from flyball.storage.ledger import Ledger

NOW_S = 1795538666.0  # in November 2026


def use(ledger: Ledger, account: str, *, spent: float, granted: float, period: str = "2026-11") -> None:
    ask = LeaseRequest(
        account=account,
        kind=USD,
        period=period,
        limit=10.0,
        used=spent,
        held=granted,
        had=0.0,
        returned=0.0,
        want=0.0,
        least=0.0,
    )
    lease(ledger, worker=f"w-{account}", asks=[ask], ttl_s=60.0, holding=False)


def test_budgets_of_keys_and_teams_with_what_is_spent_leased_and_foreseen(ledger: Ledger) -> None:
    made, _ = create_key(ledger, name="app", budget_usd=10.0)
    gone, _ = create_key(ledger, name="gone", budget_usd=1.0)
    create_key(ledger, name="free")
    revoke_key(ledger, gone.id)
    set_team(ledger, "support", {"budget_usd": 4.0})
    use(ledger, f"key:{made.id}", spent=2.0, granted=0.25)
    use(ledger, "team:support", spent=9.0, granted=0.0, period="2026-10")
    states = budget_states(ledger, declared_budgets(ledger), now_s=NOW_S)
    assert [(state.name, state.limit_usd, state.spent_usd, state.granted_usd) for state in states] == [
        ("app", 10.0, 2.0, 0.25),
        ("support", 4.0, 0.0, 0.0),
    ]


def test_the_forecast_goes_on_as_since_the_month_or_the_budget_began(ledger: Ledger) -> None:
    begin, end = month_bounds(NOW_S)
    use(ledger, "key:1", spent=3.0, granted=0.0)
    half = (begin + end) / 2
    old = Budget(account="key:1", name="old", limit_usd=10.0, since_ms=0)
    young = Budget(account="key:1", name="young", limit_usd=10.0, since_ms=int((half - 86400) * 1000))
    (from_begin, from_yesterday) = budget_states(ledger, [old, young], now_s=half)
    assert from_begin.forecast_usd == pytest.approx(6.0)
    assert from_yesterday.forecast_usd == pytest.approx(3.0 + 3.0 * 15)
