"""The purse of a worker: hard to overrun, quick to ask, and nothing is lost when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyball.cost.budgets import BudgetKeeper, current_period, settle_worker, spent
from flyball.cost.slices import SHARE, lease_slice
from flyball.security.principals import LOCAL, Principal
from flyball.storage.ledger import Ledger

ESTIMATE = 0.002


def principal(budget_usd: float | None = 1.0) -> Principal:
    return Principal(id="1", name="a client", role="client", budget_usd=budget_usd)


def spend_all(keeper: BudgetKeeper, payer: Principal, *, estimate: float = ESTIMATE, actual: float = ESTIMATE) -> float:
    """Send requests, one after the other, until refused for good; what they cost."""
    total, refused_since = 0.0, None
    while refused_since is None or time.monotonic() - refused_since < 1.2:
        if keeper.reserve(payer, estimate):
            total, refused_since = total + actual, None
            keeper.settle(payer, estimate, actual)
        else:
            refused_since = refused_since or time.monotonic()
            time.sleep(0.005)
    return total


def test_whoever_has_no_budget_may_always_spend_and_no_thread_starts(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    assert all(keeper.reserve(LOCAL, 1e9) for _ in range(100))
    keeper.settle(LOCAL, 1e9, 1e9)
    keeper.close()
    assert spent(ledger, "key:local", current_period()) == 0.0


def test_a_runaway_client_is_stopped_at_its_budget(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    total = spend_all(keeper, principal(0.1))
    keeper.close()
    assert 0.1 - ESTIMATE <= total <= 0.1 + ESTIMATE + 0.1 * SHARE
    assert spent(ledger, "key:1", current_period()) == pytest.approx(total)


def test_a_budget_of_a_few_requests_is_not_refused_before_it_is_spent(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    total = spend_all(keeper, principal(10 * ESTIMATE))
    keeper.close()
    assert 9 * ESTIMATE - 1e-9 <= total <= 11 * ESTIMATE + 1e-9


def test_requests_that_cost_more_than_estimated_are_counted_in_full(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    total = spend_all(keeper, principal(0.1), actual=3 * ESTIMATE)
    keeper.close()
    assert spent(ledger, "key:1", current_period()) == pytest.approx(total)


def test_closing_gives_back_what_was_not_spent(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    assert keeper.reserve(principal(), ESTIMATE)
    keeper.settle(principal(), ESTIMATE, ESTIMATE / 2)
    keeper.close()
    assert spent(ledger, "key:1", current_period()) == pytest.approx(ESTIMATE / 2)


def test_a_spent_budget_refuses_at_once_in_a_fresh_worker_after_its_first_look(ledger: Ledger) -> None:
    settle_worker(ledger, "before", {"key:1": 1.0}, period=current_period())
    keeper = BudgetKeeper(ledger, worker="w")
    granted = sum(keeper.reserve(principal(), SHARE / 4) for _ in range(2000))
    assert granted <= 4 + 1
    keeper.close()


def test_without_a_ledger_one_slice_is_spent_and_then_nothing() -> None:
    keeper = BudgetKeeper(None, worker="w")
    granted = sum(keeper.reserve(principal(), SHARE / 4) for _ in range(100))
    keeper.close()
    assert granted == 4


def test_asking_costs_microseconds_even_while_the_ledger_is_locked(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w")
    with ledger.begin():  # nobody else can write now
        began = time.perf_counter()
        for _ in range(200):
            keeper.reserve(principal(), 1e-6)
        assert (time.perf_counter() - began) / 200 < 0.001
    keeper.close()


def test_an_idle_worker_does_not_keep_its_slices(ledger: Ledger) -> None:
    keeper = BudgetKeeper(ledger, worker="w", ttl_s=1.0)
    assert keeper.reserve(principal(), ESTIMATE)
    keeper.settle(principal(), ESTIMATE, ESTIMATE)
    deadline = time.monotonic() + 10
    while spent(ledger, "key:1", current_period()) == 0.0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert spent(ledger, "key:1", current_period()) == pytest.approx(ESTIMATE)
    keeper.close()


WORKER = """
import os, sys
from flyball.cost.budgets import BudgetKeeper
from flyball.security.principals import Principal
from flyball.storage.ledger import open_ledger
import time
url, worker, log = sys.argv[1:]
payer = Principal(id="1", name="a client", role="client", budget_usd=1.0)
keeper = BudgetKeeper(open_ledger(url, project="shop"), worker=worker)
segment = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
refused = 0
while refused < 250:
    if keeper.reserve(payer, 0.002):
        refused = 0
        os.write(segment, b"0.002\\n")
        keeper.settle(payer, 0.002, 0.002)
    else:
        refused += 1
    time.sleep(0.005)
keeper.close()
"""


def test_four_workers_one_of_them_killed_overrun_by_no_more_than_their_slices(
    ledger: Ledger, ledger_url: str, tmp_path: Path
) -> None:
    logs = [tmp_path / f"worker-{n}" for n in range(4)]
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, ledger_url, log.name, str(log)]) for log in logs]
    while not logs[0].exists() or logs[0].stat().st_size < 60:
        time.sleep(0.01)
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].wait()
    costs = [sum(map(float, log.read_text().split())) for log in (logs[0],)]
    settle_worker(ledger, "worker-0", {"key:1": costs[0]}, period=current_period())
    assert [worker.wait() for worker in workers[1:]] == [0, 0, 0]
    costs += [sum(map(float, log.read_text().split())) for log in logs[1:]]
    assert all(cost > 0 for cost in costs)
    assert sum(costs) <= 1.0 + 4 * max(SHARE, ESTIMATE) + 4 * ESTIMATE
    assert sum(costs) >= 1.0 - 4 * SHARE
    assert spent(ledger, "key:1", current_period()) == pytest.approx(sum(costs))
    assert (
        lease_slice(ledger, budget_key="key:1", limit_usd=1.0, period=current_period(), worker="late", want_usd=1.0)
        is None
        or sum(costs) < 1.0
    )
