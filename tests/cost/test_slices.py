"""Budget slices: small, fenced, expiring, and never more than the limit together."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.cost.slices import SHARE, Slice, lease_slice, settle_slice, settle_worker, spent
from flyball.storage.ledger import Ledger, open_ledger

BUDGET = "key:1"


def lease(ledger: Ledger, *, worker: str = "w1", want: float = 1.0, ttl_s: float = 60.0) -> Slice | None:
    return lease_slice(
        ledger, budget_key=BUDGET, limit_usd=10.0, period="2026-11", worker=worker, want_usd=want, ttl_s=ttl_s
    )


def test_a_slice_is_at_most_a_hundredth_of_the_budget(ledger: Ledger) -> None:
    big, small = lease(ledger), lease(ledger, want=0.03)
    assert big is not None and big.granted_usd == pytest.approx(10.0 * SHARE)
    assert small is not None and small.granted_usd == 0.03
    assert small.epoch == big.epoch + 1


def test_all_slices_together_never_exceed_the_limit(ledger: Ledger) -> None:
    granted = 0.0
    while (leased := lease(ledger)) is not None:
        granted += leased.granted_usd
    assert granted == pytest.approx(10.0)


def test_what_was_not_spent_is_free_again_after_settling(ledger: Ledger) -> None:
    slices = []
    while (leased := lease(ledger)) is not None:
        slices.append(leased)
    assert settle_slice(ledger, slices[0], 0.04)
    again = lease(ledger)
    assert again is not None and again.granted_usd == pytest.approx(0.06)
    assert spent(ledger, BUDGET, "2026-11") == pytest.approx(0.04)


def test_an_expired_slice_counts_in_full_and_cannot_be_settled_any_more(ledger: Ledger) -> None:
    late = lease(ledger, ttl_s=0.0)
    assert late is not None and lease(ledger, worker="w2") is not None
    assert not settle_slice(ledger, late, 0.0)
    assert spent(ledger, BUDGET, "2026-11") == pytest.approx(late.granted_usd)


def test_settling_twice_settles_once(ledger: Ledger) -> None:
    leased = lease(ledger)
    assert leased is not None
    assert [settle_slice(ledger, leased, usd) for usd in (0.05, 0.01)] == [True, False]
    assert spent(ledger, BUDGET, "2026-11") == 0.05


def test_a_dead_worker_is_settled_with_what_its_segments_say_even_beyond_its_slices(ledger: Ledger) -> None:
    used_up, _ = lease(ledger, worker="dead"), lease(ledger, worker="dead")
    assert used_up is not None and settle_slice(ledger, used_up, used_up.granted_usd)
    alive = lease(ledger, worker="alive")
    for _ in range(2):  # settling again changes nothing
        settle_worker(ledger, "dead", {BUDGET: 0.25, "key:2": 0.5}, period="2026-11")
    assert spent(ledger, BUDGET, "2026-11") == 0.25
    assert spent(ledger, "key:2", "2026-11") == 0.5
    assert alive is not None and settle_slice(ledger, alive, 0.1)


def test_budgets_periods_and_projects_do_not_touch_each_other(ledger: Ledger, ledger_url: str) -> None:
    leased = lease(ledger)
    assert leased is not None and settle_slice(ledger, leased, 0.1)
    other = open_ledger(ledger_url, project="other")
    assert spent(other, BUDGET, "2026-11") == 0.0
    assert spent(ledger, BUDGET, "2026-12") == 0.0
    assert spent(ledger, "key:2", "2026-11") == 0.0
    other.close()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0.001, 0.2), st.floats(0, 1)), max_size=15))
def test_grants_never_exceed_what_the_limit_leaves(sqlite_ledger: Ledger, history: list[tuple[float, float]]) -> None:
    limit, period, used = 0.5, uuid4().hex, 0.0
    for want, share in history:
        leased = lease_slice(
            sqlite_ledger, budget_key="key:p", limit_usd=limit, period=period, worker="w", want_usd=want
        )
        if leased is None:
            assert used == pytest.approx(limit)
            break
        assert leased.granted_usd <= min(limit * SHARE, limit - used) + 1e-12
        settle_slice(sqlite_ledger, leased, leased.granted_usd * share)
        used += leased.granted_usd * share
    assert spent(sqlite_ledger, "key:p", period) == pytest.approx(used)
