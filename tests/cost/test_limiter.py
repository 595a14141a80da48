"""The limits of a worker: no debt, short waits in turn, and answers at once from what is leased."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flyball.cost.budgets import spent
from flyball.cost.lease_requests import Limit, Shortage
from flyball.cost.limit_leases import reap
from flyball.cost.limiter import PATIENCE_S, Limiter
from flyball.cost.pools import Need, Pool
from flyball.storage.ledger import Ledger

Pools = tuple[Pool, ...]


def run(course: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(course(), 60)

    asyncio.run(bounded())


def need(*, tokens: float = 0.0, usd: float = 0.0) -> Need:
    return (1.0, 1.0, tokens, usd)


async def ask(keeper: Limiter, pools: Pools, wanted: Need) -> Shortage | None:
    return None if keeper.take(pools, wanted) else await keeper.wait(pools, wanted)


async def spend_all(keeper: Limiter, pools: Pools, *, estimate: float, actual: float, tries: int = 5) -> float:
    """Send requests one after the other until refused `tries` times; what they cost."""
    total, refused = 0.0, 0
    while refused < tries:
        if await ask(keeper, pools, need(usd=estimate)) is None:
            keeper.settle(pools, need(usd=estimate), tokens=0.0, usd=actual)
            total, refused = total + actual, 0
        else:
            refused += 1
            await asyncio.sleep(0.25)
    return total


def budget(keeper: Limiter, usd: float, account: str = "key:1") -> Pools:
    return keeper.pools([Limit(account, "usd", usd)])


def test_whoever_has_no_limit_goes_on_without_a_thread_or_a_transaction(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        assert all(keeper.take((), need(usd=1e9)) for _ in range(100))
        await keeper.close()
        assert keeper.transactions == 0

    run(course)


@pytest.mark.parametrize(("usd", "estimate", "actual"), [(0.1, 0.002, 0.002), (0.02, 0.002, 0.0005), (1.0, 0.1, 0.1)])
def test_a_budget_is_spent_whole_and_never_overrun(ledger: Ledger, usd: float, estimate: float, actual: float) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        total = await spend_all(keeper, budget(keeper, usd), estimate=estimate, actual=actual)
        await keeper.close()
        assert usd - estimate - 1e-9 <= total <= usd + 1e-9
        assert spent(ledger, "key:1", keeper.period) == pytest.approx(total)

    run(course)


def test_requests_that_cost_more_than_was_set_aside_are_counted_in_full(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        total = await spend_all(keeper, budget(keeper, 0.1), estimate=0.002, actual=0.006)
        await keeper.close()
        assert 0.1 <= total <= 0.1 + 0.004 + 1e-9, "overrun by what one request in flight cost beyond its estimate"
        assert spent(ledger, "key:1", keeper.period) == pytest.approx(total)

    run(course)


def test_a_burst_waits_for_one_transaction_and_is_served_in_order(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools([Limit("key:1", "requests", 40.0), Limit("key:1", "seats", 1000.0)])
        order: list[int] = []

        async def one(number: int) -> Shortage | None:
            shortage = await ask(keeper, pools, need())
            order.append(number)
            return shortage

        shortages = await asyncio.gather(*(one(number) for number in range(60)))
        admitted = [number for number, shortage in enumerate(shortages) if shortage is None]
        assert admitted == list(range(len(admitted))) and 40 <= len(admitted) <= 41
        assert order == sorted(order)
        assert {shortage.reason for shortage in shortages if shortage} == {"spent"}
        assert keeper.transactions <= 3
        await keeper.close()

    run(course)


def test_a_single_worker_with_sixty_thousand_a_minute_causes_few_transactions(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools(
            [
                Limit("key:1", "seats", 500.0),
                Limit("key:1", "requests", 60_000.0),
                Limit("key:1", "tokens", 60_000_000.0),
                Limit("key:1", "usd", 100.0),
            ]
        )
        wanted, began, sent = need(tokens=500, usd=1e-4), time.monotonic(), 0
        while time.monotonic() - began < 2.0:
            for _ in range(10):
                assert await ask(keeper, pools, wanted) is None
                keeper.settle(pools, wanted, tokens=300, usd=5e-5)
                sent += 1
            await asyncio.sleep(0.01)
        assert sent > 500
        assert keeper.transactions <= 12 and keeper.waited <= 3
        await keeper.close()

    run(course)


def test_a_limit_that_is_spent_refuses_at_once_and_says_when_to_come_back(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools([Limit("key:1", "requests", 3.0)])
        shortages = [await ask(keeper, pools, need()) for _ in range(8)]
        assert shortages[:3] == [None] * 3
        assert all(
            shortage and shortage.reason == "spent" and 15 <= shortage.wait_s <= 20 for shortage in shortages[3:]
        )
        assert keeper.transactions <= 6
        await keeper.close()

    run(course)


def test_a_request_that_never_fits_is_refused_without_asking_anybody(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools([Limit("key:1", "tokens", 100.0)])
        shortage = await ask(keeper, pools, need(tokens=101))
        assert shortage is not None and shortage.reason == "never"
        assert keeper.transactions == 0
        await keeper.close()

    run(course)


def test_seats_come_back_when_requests_end_and_are_shared_among_workers(ledger: Ledger) -> None:
    async def course() -> None:
        one, two = Limiter(ledger, worker="w1"), Limiter(ledger, worker="w2")
        limits = [Limit("key:1", "seats", 2.0)]
        first, second = one.pools(limits), two.pools(limits)
        assert await ask(one, first, need()) is None
        assert await ask(two, second, need()) is None
        began = time.monotonic()
        refused = await ask(two, second, need())
        assert refused is not None and refused.reason == "spent"
        assert time.monotonic() - began <= PATIENCE_S + 0.5, "it waited for the other worker's, but not for ever"
        waiting = asyncio.ensure_future(ask(two, second, need()))
        await asyncio.sleep(0.05)
        one.settle(first, need(), tokens=0.0, usd=0.0)
        assert await waiting is None, "what one worker does not need any more another gets"
        await one.close()
        await two.close()

    run(course)


def test_whoever_gives_up_waiting_leaves_no_trace(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools([Limit("key:1", "seats", 1.0), Limit("key:1", "usd", 1.0)])
        task = asyncio.ensure_future(ask(keeper, pools, need(usd=0.5)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await ask(keeper, pools, need(usd=0.9)) is None
        keeper.settle(pools, need(usd=0.9), tokens=0.0, usd=0.1)
        await keeper.close()
        assert spent(ledger, "key:1", keeper.period) == pytest.approx(0.1)

    run(course)


def test_without_a_ledger_those_with_limits_are_refused_and_the_others_go_on() -> None:
    async def course() -> None:
        keeper = Limiter(None, worker="w")
        assert keeper.take((), need())
        shortage = await ask(keeper, keeper.pools([Limit("key:1", "requests", 5.0)]), need())
        assert shortage is not None and shortage.reason == "away" and shortage.wait_s > 0
        await keeper.close()

    run(course)


def test_while_the_ledger_is_locked_what_is_leased_is_spent_and_then_requests_are_refused(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = keeper.pools([Limit("key:1", "requests", 1000.0)])
        assert await ask(keeper, pools, need()) is None
        while keeper.transactions < 1 or pools[0].left < 10:
            await asyncio.sleep(0.01)
        with ledger.begin_beside("limits"):
            outcomes, slowest = [], 0.0
            for _ in range(20):
                began = time.perf_counter()
                outcomes.append(keeper.take(pools, need()))
                slowest = max(slowest, time.perf_counter() - began)
            assert outcomes == [True] * 10 + [False] * 10
            assert slowest < 0.05
            began = time.monotonic()
            shortage = await ask(keeper, pools, need())
            assert shortage is not None and shortage.reason == "away"
            assert time.monotonic() - began < PATIENCE_S + 0.5
            began = time.monotonic()
            assert await ask(keeper, pools, need()) is not None
            assert time.monotonic() - began < 0.1, "once the ledger is known to be stuck nobody waits for it"
        while await ask(keeper, pools, need()) is not None:
            await asyncio.sleep(0.05)
        await keeper.close()

    run(course)


def test_an_idle_worker_gives_back_what_it_does_not_need_and_then_rests(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        pools = budget(keeper, 10.0) + keeper.pools([Limit("key:1", "requests", 6000.0)])
        assert await ask(keeper, pools, need(usd=0.02)) is None
        keeper.settle(pools, need(usd=0.02), tokens=0.0, usd=0.02)
        deadline = time.monotonic() + 10
        while any(pool.left for pool in pools) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert spent(ledger, "key:1", keeper.period) == pytest.approx(0.02)
        before = keeper.transactions
        await asyncio.sleep(1.0)
        assert keeper.transactions == before
        await keeper.close()

    run(course)


def test_a_worker_whose_lease_was_taken_away_spends_nothing_of_it_and_goes_on_afresh(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w", ttl_s=0.5)
        pools = budget(keeper, 10.0)
        assert await ask(keeper, pools, need(usd=0.05)) is None
        with ledger.begin_beside("limits") as connection:
            reap(connection, "shop", ["w"])
        time.sleep(0.6)  # the whole worker stands still, as one that is swapped out
        assert not keeper.take(pools, need(usd=0.01))
        assert await ask(keeper, pools, need(usd=0.01)) is None
        for usd in (0.05, 0.01):
            keeper.settle(pools, need(usd=usd), tokens=0.0, usd=usd)
        await keeper.close()
        counted = spent(ledger, "key:1", keeper.period)
        assert 0.06 <= counted <= 0.06 + 0.15 + 1e-9, "the lost share counts in full: never less than was spent"

    run(course)


def test_a_new_month_begins_a_new_budget_and_the_old_one_is_told_to_the_end(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        old = budget(keeper, 0.01)
        before = keeper.period
        assert await ask(keeper, old, need(usd=0.01)) is None
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 40 * 86400)
        keeper.look_at_calendar()
        assert keeper.period != before
        new = budget(keeper, 0.01)
        assert await ask(keeper, new, need(usd=0.01)) is None
        keeper.settle(old, need(usd=0.01), tokens=0.0, usd=0.008)
        keeper.settle(new, need(usd=0.01), tokens=0.0, usd=0.003)
        await keeper.close()
        assert spent(ledger, "key:1", before) == pytest.approx(0.008)
        assert spent(ledger, "key:1", keeper.period) == pytest.approx(0.003)

    run(course)


def test_fifty_busy_keys_share_their_transactions(ledger: Ledger) -> None:
    async def course() -> None:
        keeper = Limiter(ledger, worker="w")
        all_pools = [
            keeper.pools([Limit(f"key:{n}", "requests", 6000.0), Limit(f"key:{n}", "usd", 10.0)]) for n in range(50)
        ]
        wanted: Any = need(usd=1e-3)
        assert await asyncio.gather(*(ask(keeper, pools, wanted) for pools in all_pools)) == [None] * 50
        assert keeper.transactions == 1
        began = time.monotonic()
        while time.monotonic() - began < 2.0:
            for pools in all_pools:
                assert await ask(keeper, pools, wanted) is None
                keeper.settle(pools, wanted, tokens=0.0, usd=1e-3)
            await asyncio.sleep(0.02)
        assert keeper.transactions < 30, "of which one is due every tenth of a second at most"
        await keeper.close()

    run(course)
