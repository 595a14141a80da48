"""What a worker holds of a limit: small, and given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.cost.pools import (
    REQUESTS,
    SEATS,
    SHARE,
    TOKENS,
    USD,
    Lack,
    Pool,
    grant,
    is_due,
    month_bounds,
    period_of,
    refill,
    wish,
)

AMOUNT = st.floats(0, 1000)


@given(capacity=st.floats(1, 1000), level=st.floats(-100, 1000), elapsed_s=st.floats(-5, 500), held=AMOUNT)
def test_a_bucket_and_what_is_held_of_it_never_exceed_its_capacity(
    capacity: float, level: float, elapsed_s: float, held: float
) -> None:
    after = refill(level=level, capacity=capacity, elapsed_s=elapsed_s, held=held)
    assert after + held <= capacity + 1e-9
    assert after <= level + max(0.0, elapsed_s) * capacity / 60 + 1e-9


def test_a_bucket_fills_evenly_over_a_minute() -> None:
    assert refill(level=0.0, capacity=60.0, elapsed_s=1.0, held=0.0) == 1.0
    assert refill(level=0.0, capacity=60.0, elapsed_s=1000.0, held=6.0) == 54.0


@given(free=st.floats(-10, 1000), want=AMOUNT, least=AMOUNT, whole=st.booleans())
def test_a_grant_is_never_more_than_is_free_or_wanted_and_never_too_little_to_help(
    free: float, want: float, least: float, whole: bool
) -> None:
    amount = grant(free, want=want, least=least, whole=whole)
    assert 0 <= amount <= max(0.0, min(free, want))
    assert amount == 0 or amount >= least * (1 - 1e-8)
    assert not whole or amount == int(amount)


def test_a_request_for_the_very_last_of_a_budget_is_granted_also_in_floating_point() -> None:
    free = 1.0 - sum([0.1] * 9)
    assert grant(free, want=0.1 * (1 + 1e-9), least=0.1 * (1 + 1e-9), whole=False) == free


@given(kind=st.sampled_from([REQUESTS, SEATS, TOKENS, USD]), limit=st.floats(1, 1e6), last=st.floats(1e-6, 1e5))
def test_what_is_leased_ahead_is_at_most_a_hundredth_and_nothing_where_that_is_less_than_a_request(
    kind: int, limit: float, last: float
) -> None:
    pool = Pool("key:1", kind, limit)
    pool.last = 1.0 if kind in (REQUESTS, SEATS) else last
    assert pool.ahead <= limit * SHARE
    assert pool.ahead == 0.0 or pool.ahead >= pool.last


@given(limit=st.floats(1, 1e6), left=st.floats(0, 1e4), waiting=st.lists(st.floats(0.001, 100), min_size=1, max_size=9))
def test_those_who_wait_get_what_they_lack_and_a_hundredth_more(
    limit: float, left: float, waiting: list[float]
) -> None:
    pool, lack = Pool("key:1", TOKENS, limit), Lack()
    pool.left = left
    for amount in waiting:
        lack.add(amount)
    item = wish(pool, lack, 0.0, alone=True)
    assert left + item.want <= max(left, (sum(waiting) + limit * SHARE) * (1 + 1e-8))
    assert left + item.want >= sum(waiting) or item.want == 0
    assert item.least <= item.want + 1e-9 or item.want == 0


def test_an_unused_pool_is_given_back_and_sooner_where_others_may_need_just_this_one() -> None:
    pool = Pool("key:1", SEATS, 4)
    pool.left, pool.row, pool.used_at = 1.0, 1.0, 100.0
    assert not is_due(pool, 100.2, alone=True)
    assert is_due(pool, 100.2, alone=False)
    assert is_due(pool, 103.0, alone=True)
    assert wish(pool, None, 103.0, alone=True).keep == 0.0


def test_a_pool_knows_what_is_left_of_the_whole_limit() -> None:
    pool = Pool("key:1", REQUESTS, 60)
    assert pool.remaining(0.0) == 60, "nobody asked yet"
    pool.free, pool.free_at, pool.left = 30.0, 0.0, 2.0
    assert pool.remaining(10.0) == 42
    assert pool.remaining(1000.0) == 60
    assert pool.wait_s(45, 10.0) == pytest.approx(3.0)


def test_months_begin_and_end_in_utc() -> None:
    assert period_of(1795538666) == "2026-11"
    begin, end = month_bounds(1795538666)
    assert (period_of(begin), period_of(begin - 1)) == ("2026-11", "2026-10")
    assert (period_of(end - 1), period_of(end)) == ("2026-11", "2026-12")
    december = month_bounds(end)
    assert december[0] == end and period_of(december[1]) == "2027-01"
