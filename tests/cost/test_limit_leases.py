"""Shares of limits in the ledger: together never more than the limit, whoever asks and whoever dies."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from flyball.cost.limit_leases import LIMITS, Answer, LeaseRequest, answer_all, lease, reap
from flyball.cost.pools import REQUESTS, SEATS, TOKENS, USD
from flyball.storage import tables
from flyball.storage.ledger import Ledger, open_ledger

PERIOD = "2026-11"


def ask(kind: int, **changes: Any) -> LeaseRequest:
    values: dict[str, Any] = {
        "account": "key:1",
        "kind": kind,
        "period": PERIOD if kind == USD else "",
        "limit": 10.0,
        "used": 0.0,
        "held": 0.0,
        "had": 0.0,
        "returned": 0.0,
        "want": 0.0,
        "least": 0.0,
    }
    return LeaseRequest(**(values | changes))


def one(ledger: Ledger, worker: str, item: LeaseRequest, *, holding: bool = False, ttl_s: float = 60.0) -> Answer:
    outcome = lease(ledger, worker=worker, asks=[item], ttl_s=ttl_s, holding=holding)
    assert outcome.answers is not None
    return outcome.answers[0]


@pytest.mark.parametrize("kind", [SEATS, REQUESTS, TOKENS, USD])
def test_all_workers_together_get_the_limit_and_no_more(ledger: Ledger, kind: int) -> None:
    granted = [one(ledger, f"w{n}", ask(kind, want=3.0, least=1.0)).granted for n in range(5)]
    assert granted[:3] == [3, 3, 3]
    assert sum(granted) == pytest.approx(10, abs=0.1)  # a rate fills a little meanwhile
    assert granted[4] == 0


def test_what_a_worker_gives_back_is_free_for_others(ledger: Ledger) -> None:
    for kind in (SEATS, USD):
        assert one(ledger, "w1", ask(kind, want=10.0)).granted == 10
        assert one(ledger, "w2", ask(kind, want=1.0)).granted == 0
        assert one(ledger, "w1", ask(kind, used=4.0), holding=True).free == 6
        assert one(ledger, "w2", ask(kind, want=10.0)).granted == 6


def test_a_rate_given_back_is_free_and_one_used_up_fills_again(ledger: Ledger) -> None:
    first = one(ledger, "w1", ask(REQUESTS, limit=6000.0, want=6000.0))
    assert first.granted == 6000
    back = one(ledger, "w1", ask(REQUESTS, limit=6000.0, had=6000.0, returned=2000.0), holding=True)
    assert 2000 <= back.free <= 2100


def test_an_expired_worker_loses_its_seats_at_once_and_its_dollars_count_in_full(ledger: Ledger) -> None:
    one(ledger, "dead", ask(SEATS, want=10.0), ttl_s=0.0)
    one(ledger, "dead2", ask(USD, want=4.0), ttl_s=0.0)
    assert one(ledger, "w2", ask(SEATS, want=10.0)).granted == 10
    assert one(ledger, "w2", ask(USD, want=10.0), holding=True).granted == 6


def test_whoever_comes_back_after_its_lease_expired_is_told_so_and_changes_nothing(ledger: Ledger) -> None:
    one(ledger, "late", ask(USD, want=4.0), ttl_s=0.0)
    late = lease(ledger, worker="late", asks=[ask(USD, used=1.0)], ttl_s=60.0, holding=True)
    assert late.answers is None
    assert one(ledger, "w2", ask(USD, want=10.0)).granted == 6
    assert one(ledger, "late.2", ask(SEATS, want=1.0)).granted == 1, "under a new name it goes on"


def test_a_worker_that_held_nothing_may_come_back_after_any_time(ledger: Ledger) -> None:
    one(ledger, "w1", ask(USD, want=4.0), ttl_s=60.0)
    one(ledger, "w1", ask(USD, used=3.0), holding=True, ttl_s=0.0)
    assert one(ledger, "w2", ask(USD, want=10.0)).granted == 7
    assert one(ledger, "w1", ask(USD, used=3.0, want=1.0)).granted == 0
    assert one(ledger, "w2", ask(USD, used=5.0), holding=True).free == 2
    assert one(ledger, "w1", ask(USD, used=3.0, want=5.0), holding=True).granted == 2


def test_leaving_leaves_what_was_spent_and_nothing_else(ledger: Ledger) -> None:
    one(ledger, "w1", ask(USD, want=4.0))
    one(ledger, "w1", ask(SEATS, want=2.0), holding=True)
    lease(ledger, worker="w1", asks=[ask(USD, used=1.5), ask(SEATS)], ttl_s=60.0, holding=True, leaving=True)
    with ledger.read() as connection:
        rows = connection.execute(select(tables.limit_shares)).all()
        assert connection.execute(select(tables.limit_workers)).all() == []
    assert [(row.kind, row.spent, row.state) for row in rows] == [("usd", 1.5, "settled")]


def test_accounts_periods_and_projects_do_not_touch_each_other(ledger: Ledger, ledger_url: str) -> None:
    assert one(ledger, "w1", ask(USD, want=10.0)).granted == 10
    assert one(ledger, "w1", ask(USD, account="key:2", want=10.0), holding=True).granted == 10
    assert one(ledger, "w1", ask(USD, period="2026-12", want=10.0), holding=True).granted == 10
    other = open_ledger(ledger_url, project="other")
    assert one(other, "w1", ask(USD, want=10.0)).granted == 10
    other.close()


def test_a_lowered_limit_grants_nothing_until_enough_is_given_back(ledger: Ledger) -> None:
    assert one(ledger, "w1", ask(SEATS, want=10.0)).granted == 10
    assert one(ledger, "w2", ask(SEATS, limit=3.0, want=1.0)).granted == 0
    assert one(ledger, "w1", ask(SEATS, limit=3.0, used=2.0), holding=True).free == 1


def test_one_transaction_serves_fifty_accounts(ledger: Ledger) -> None:
    asks = [ask(kind, account=f"key:{n}", want=2.0) for n in range(50) for kind in (SEATS, REQUESTS, TOKENS, USD)]
    outcome = lease(ledger, worker="w1", asks=asks, ttl_s=60.0, holding=False)
    assert outcome.answers is not None and {answer.granted for answer in outcome.answers} == {2.0}
    assert outcome.alone
    assert not lease(ledger, worker="w2", asks=[], ttl_s=60.0, holding=False).alone


STEP = st.tuples(
    st.integers(0, 2),  # worker
    st.integers(0, 4000),  # milliseconds later
    st.floats(0, 1),  # the part of what it holds that it uses before
    st.floats(0, 1),  # the part of the rest that it gives back
    st.integers(0, 12),  # how much more it wants
    st.booleans(),  # whether it dies instead
)


@settings(max_examples=60)
@given(steps=st.lists(STEP, min_size=1, max_size=25))
def test_in_any_time_at_most_the_capacity_and_the_refill_of_that_time_is_used(
    sqlite_ledger: Ledger, steps: list[tuple[int, int, float, float, int, bool]]
) -> None:
    capacity, account, now = 20.0, f"key:{uuid4().hex}", 1_000_000
    held, told = [0.0] * 3, [0.0] * 3
    uses: list[tuple[int, float]] = []
    for worker, later_ms, used, back, want, dies in steps:
        now += later_ms
        name = f"{account}-{worker}"
        amount = float(int(held[worker] * used))
        uses.append((now, amount))
        held[worker] -= amount
        with sqlite_ledger.begin_beside(LIMITS) as connection:
            if dies:
                reap(connection, "shop", [name])
                held[worker] = told[worker] = 0.0
                continue
            keep = float(int(held[worker] * (1 - back)))
            item = ask(
                REQUESTS,
                account=account,
                limit=capacity,
                held=keep,
                had=max(told[worker], held[worker]),
                returned=held[worker] - keep,
                want=float(want),
            )
            granted = answer_all(connection, "shop", name, [item], now)[0].granted
        held[worker] = told[worker] = keep + granted
        assert sum(held) <= capacity
    for first, (begin, _) in enumerate(uses):
        for last in range(first, len(uses)):
            elapsed_s = (uses[last][0] - begin) / 1000
            in_window = sum(amount for _, amount in uses[first : last + 1])
            assert in_window <= capacity + elapsed_s * capacity / 60 + 1e-6


@settings(max_examples=60)
@given(steps=st.lists(STEP, min_size=1, max_size=25))
def test_dollars_of_the_living_and_the_dead_never_exceed_the_limit(
    sqlite_ledger: Ledger, steps: list[tuple[int, int, float, float, int, bool]]
) -> None:
    limit, account = 20.0, f"key:{uuid4().hex}"
    left, mine, lives = [0.0] * 3, [0.0] * 3, [0] * 3
    spent = 0.0
    for worker, _, used, back, want, dies in steps:
        name = f"{account}-{worker}.{lives[worker]}"
        amount = left[worker] * used
        left[worker] -= amount
        mine[worker] += amount
        spent += amount
        with sqlite_ledger.begin_beside(LIMITS) as connection:
            if dies:
                reap(connection, "shop", [name])
                left[worker] = mine[worker] = 0.0
                lives[worker] += 1
                continue
            keep = left[worker] * (1 - back)
            item = ask(USD, account=account, limit=limit, used=mine[worker], held=keep, want=float(want))
            left[worker] = keep + answer_all(connection, "shop", name, [item], 1_000_000)[0].granted
        assert spent + sum(left) <= limit + 1e-9
