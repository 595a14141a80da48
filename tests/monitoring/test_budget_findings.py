"""A budget that passes 80 % and one that is spent are told of once each in a month."""

from __future__ import annotations

import time

from flyball.cost.limit_leases import LeaseRequest, lease
from flyball.cost.pools import USD, period_of
from flyball.monitoring.budget_findings import watch_budgets
from flyball.records import Finding
from flyball.security.teams import set_team
from flyball.storage.ledger import Ledger


def spend(ledger: Ledger, usd: float, *, period: str) -> None:
    ask = LeaseRequest(
        account="team:support",
        kind=USD,
        period=period,
        limit=10.0,
        used=usd,
        held=0.0,
        had=0.0,
        returned=0.0,
        want=0.0,
        least=0.0,
    )
    lease(ledger, worker="w", asks=[ask], ttl_s=60.0, holding=False)


def test_each_threshold_raises_one_finding_a_month(ledger: Ledger) -> None:
    now_s = time.time()
    set_team(ledger, "support", {"budget_usd": 10.0})
    raised = []
    for usd in (1.0, 7.9, 8.0, 9.0, 9.95, 10.0):
        spend(ledger, usd, period=period_of(now_s))
        raised.append([finding.severity for finding in watch_budgets(ledger, now_s=now_s)])
    assert raised == [[], [], ["warning"], [], ["critical"], []]
    later_s = now_s + 32 * 86400
    assert watch_budgets(ledger, now_s=later_s) == []
    spend(ledger, 10.0, period=period_of(later_s))
    assert len(watch_budgets(ledger, now_s=later_s)) == 2
    stored = [found.record for found in ledger.find(Finding)]
    assert len(stored) == 4 and all(isinstance(one, Finding) and one.kind == "spend" for one in stored)
