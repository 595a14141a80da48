"""All limits of one worker: answers at once from what is leased, and leases more before it is used up. I/O: one thread.

Everything is counted in the event loop's thread; a clerk thread runs one transaction at a time for all accounts and
hands the outcome back. A request for which too little is leased waits, in order, while the ledger may still have some;
there is no debt. Without the ledger what is leased is spent, and then requests are refused.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from typing import Final

from flyball.cost.lease_requests import Limit, Shortage, Waiter, ask_of, take_answer
from flyball.cost.lease_thread import LeaseThread
from flyball.cost.limit_leases import LeaseRequest, Outcome
from flyball.cost.pools import (
    DUST,
    KINDS,
    SEATS,
    TOKENS,
    USD,
    Lack,
    Need,
    Pool,
    Wish,
    is_due,
    is_new,
    lacking,
    month_bounds,
    period_of,
    wish,
)
from flyball.storage.ledger import Ledger
from flyball.telemetry import log

TTL_S: Final = 15.0
"""How long shares hold without being renewed; those of a killed worker are free, or count as spent, after it."""
RENEW_S: Final = 5.0
TICK_S: Final = 0.1
PATIENCE_S: Final = 1.0
"""The longest wait of a request for the ledger."""
MOST_WAITING: Final = 1024
GATHER_S: Final = 0.1
"""The time between transactions for which no request waits."""
AWAY_S: Final = 1.0
"""After a failure the ledger is left alone for so long."""


class Limiter:
    """The limits of one worker process; `worker` is a name that is never used again."""

    def __init__(self, ledger: Ledger | None, *, worker: str, ttl_s: float = TTL_S) -> None:
        self.worker = worker
        self.transactions = self.failures = self.waited = 0
        self._clerk = LeaseThread(ledger) if ledger is not None else None
        self._ttl_s = ttl_s
        self._name, self._lives = worker, 1
        self._pools: dict[tuple[str, int, str], Pool] = {}
        self._active: dict[Pool, None] = {}
        self._waiters: list[Waiter] = []
        self._valid_until = -math.inf
        self._renew_at = 0.0
        self._sent_at: float | None = None
        self._last_sent_at = -math.inf
        self._away_until = -math.inf
        self._alone = True
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._period, self._period_ends_s = "", 0.0

    # what requests call ---------------------------------------------------------------------------------------------

    def pools(self, limits: Iterable[Limit]) -> tuple[Pool, ...]:
        """The pools of these limits, to be asked in this order; call again when `period` has changed."""
        self.look_at_calendar()
        return tuple(self._pool(limit) for limit in limits)

    @property
    def period(self) -> str:
        """The month that dollars are counted in."""
        return self._period

    def take(self, pools: Sequence[Pool], need: Need) -> bool:
        """Whether a request may go on at once; then its need is set aside until `settle`."""
        if pools and time.monotonic() >= self._valid_until:
            return False
        for pool in pools:
            if pool.left < need[pool.kind] or pool.waiting:
                return False
        self._set_aside(pools, need)
        return True

    async def wait(self, pools: Sequence[Pool], need: Need) -> Shortage | None:
        """Wait in turn for the ledger where `take` said no; None when the request may go on."""
        now = time.monotonic()
        for pool in pools:
            if (shortage := self._hopeless(pool, need[pool.kind], now)) is not None:
                return shortage
        loop = asyncio.get_running_loop()
        waiter = Waiter(pools, need, loop.create_future())
        short = lacking(pools, need) or list(pools)
        if len(self._waiters) >= MOST_WAITING:
            return Shortage(short[0], "spent", 1.0)
        self._enter(waiter)
        late = loop.call_later(PATIENCE_S, self._give_up, waiter)
        try:
            return await waiter.told
        except asyncio.CancelledError:
            if not waiter.told.cancel() and not waiter.told.cancelled() and waiter.told.result() is None:
                self.settle(pools, need, tokens=0.0, usd=0.0)
            self._leave()
            raise
        finally:
            late.cancel()

    def settle(self, pools: Sequence[Pool], need: Need, *, tokens: float, usd: float) -> None:
        """A request that went on has ended, and used this much."""
        for pool in pools:
            kind = pool.kind
            aside = need[kind]
            pool.in_use -= aside
            if pool.in_use < DUST:
                pool.in_use = 0.0
            if kind == SEATS:
                pool.left += aside
            elif kind == TOKENS:
                pool.left += aside - tokens
            elif kind == USD:
                pool.left += aside - usd
                pool.spent += usd
            if pool.waiting:
                self._soon()

    async def close(self) -> None:
        """Give everything back at once; what is still in flight counts as set aside until its lease expires."""
        if self._timer is not None:
            self._timer.cancel()
        if self._clerk is None:
            return
        end = time.monotonic() + 5.0
        await self._answered(end)
        if self._sent_at is None and (self._active or self._valid_until > time.monotonic()):
            wishes = [Wish(pool, 0.0, 0.0, 0.0) for pool in self._active]
            self._send(wishes, leaving=not any(pool.in_use for pool in self._active))
            await self._answered(end)
        self._clerk.stop()

    async def _answered(self, end: float) -> None:
        while self._sent_at is not None and time.monotonic() < end:
            await asyncio.sleep(0.01)

    # pools ----------------------------------------------------------------------------------------------------------

    def _pool(self, limit: Limit) -> Pool:
        kind = KINDS.index(limit.kind)
        key = (limit.account, kind, self._period if kind == USD else "")
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(limit.account, kind, limit.amount, key[2])
        elif pool.limit != limit.amount:
            pool.resize(limit.amount)
            pool.dry_until = -math.inf
        return pool

    def look_at_calendar(self) -> None:
        """Begin a new month; pools of the last one are told to the ledger and forgotten."""
        now_s = time.time()
        if now_s >= self._period_ends_s:
            self._period, self._period_ends_s = period_of(now_s), month_bounds(now_s)[1]
            self._pools = {key: pool for key, pool in self._pools.items() if pool.kind != USD}

    def _set_aside(self, pools: Sequence[Pool], need: Need) -> None:
        for pool in pools:
            amount = need[pool.kind]
            pool.left -= amount
            pool.in_use += amount
            pool.takes += 1
            pool.last = amount
            if pool.left < pool.low:
                pool.low = -math.inf  # once per lease
                self._soon()

    def _hopeless(self, pool: Pool, amount: float, now: float) -> Shortage | None:
        """Why waiting would not help, as far as this worker knows."""
        if amount > pool.limit:
            return Shortage(pool, "never", 0.0)
        if pool.left >= amount and now < self._valid_until:
            return None
        if self._is_away(now):
            return Shortage(pool, "away", AWAY_S)
        if pool.kind == SEATS and pool.others > 0:
            return None  # they may give a seat back any moment
        if now < pool.dry_until and pool.left + pool.there(now) < amount:
            return Shortage(pool, "spent", pool.wait_s(amount, now))
        return None

    def _is_away(self, now: float) -> bool:
        stuck = self._sent_at is not None and now - self._sent_at > PATIENCE_S
        return self._clerk is None or now < self._away_until or stuck

    # those who wait -------------------------------------------------------------------------------------------------

    def _enter(self, waiter: Waiter) -> None:
        self.waited += 1
        self._waiters.append(waiter)
        for pool in waiter.pools:
            pool.waiting += 1
            self._active[pool] = None
        self._soon()

    def _give_up(self, waiter: Waiter) -> None:
        now = time.monotonic()
        pool = next(iter(lacking(waiter.pools, waiter.need)), waiter.pools[0])
        unanswered = self._sent_at is not None and now - self._sent_at > PATIENCE_S / 2
        away = unanswered or now >= self._valid_until or self._is_away(now)
        wait_s = max(1.0, pool.wait_s(waiter.need[pool.kind], now))
        waiter.tell(Shortage(pool, "away" if away else "spent", wait_s))
        self._leave()

    def _leave(self) -> None:
        """Forget those who were told or went away."""
        for waiter in self._waiters:
            if waiter.told.done():
                for pool in waiter.pools:
                    pool.waiting -= 1
        self._waiters = [waiter for waiter in self._waiters if not waiter.told.done()]

    def _serve(self, now: float) -> None:
        """Let on, in their order, those for whom there is enough; nobody overtakes on a pool that another lacks."""
        self._leave()
        blocked: set[Pool] = set()
        for waiter in self._waiters:
            if now < self._valid_until and blocked.isdisjoint(waiter.pools):
                short = lacking(waiter.pools, waiter.need)
                if not short:
                    self._set_aside(waiter.pools, waiter.need)
                    waiter.tell(None)
                    continue
            else:
                short = lacking(waiter.pools, waiter.need) or list(waiter.pools)
            reasons = (self._hopeless(pool, waiter.need[pool.kind], now) for pool in short)
            shortage = next((reason for reason in reasons if reason is not None), None)
            if shortage is not None:
                waiter.tell(shortage)
            else:
                blocked.update(short)
        self._leave()

    # the ledger -----------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """Look at what is needed once this turn of the loop is over."""
        if not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._look)
            if self._timer is None:
                self._timer = loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic()
        for pool in self._active:
            pool.note_use(now)
        self.look_at_calendar()
        self._look()
        if self._timer is None and (self._active or self._waiters):
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _look(self) -> None:
        """Serve who can be served, and ask the ledger where something is needed or due."""
        self._scheduled = False
        now = time.monotonic()
        if self._waiters:
            self._serve(now)
        if self._sent_at is not None or self._is_away(now):
            return
        for pool in self._active:
            pool.note_use(now)
        due = now >= self._renew_at or any(is_due(pool, now, alone=self._alone) for pool in self._active)
        due = due and now - self._last_sent_at >= GATHER_S  # else at the next tick, with what else is due by then
        if due or any(self._may_help(waiter, now) for waiter in self._waiters):
            self._send(self._wishes(now))

    def _may_help(self, waiter: Waiter, now: float) -> bool:
        """Whether asking the ledger now may bring a request on."""
        if now >= self._valid_until:
            return True
        return any(
            now >= pool.dry_until or pool.left + pool.there(now) >= waiter.need[pool.kind]
            for pool in lacking(waiter.pools, waiter.need)
        )

    def _wishes(self, now: float) -> list[Wish]:
        lacks: dict[Pool, Lack] = {}
        for waiter in self._waiters:
            for pool in waiter.pools:
                lacks.setdefault(pool, Lack()).add(waiter.need[pool.kind])
        wishes = [wish(pool, lacks.get(pool), now, alone=self._alone) for pool in self._active]
        return [item for item in wishes if is_new(item, now, alone=self._alone)]

    def _send(self, wishes: list[Wish], *, leaving: bool = False) -> None:
        """Give the clerk one transaction; what is given back is out of our hands from now on."""
        now = time.monotonic()
        asks, debts = [], []
        for item in wishes:
            asks.append(ask_of(item))
            debts.append(max(0.0, -item.pool.left))
            item.pool.left = item.keep
        holding = any(pool.row > 0 for pool in self._active)
        self._sent_at = self._last_sent_at = now
        loop = asyncio.get_running_loop()
        assert self._clerk is not None

        def done(result: Outcome | Exception) -> None:
            self._sent_at = None
            self._take_in(wishes, asks, debts, result, began=now)

        def post(result: Outcome | Exception) -> None:
            loop.call_soon_threadsafe(done, result)

        self._clerk.run(
            asks,
            worker=self._name,
            ttl_s=self._ttl_s,
            holding=holding,
            leaving=leaving,
            done=post,
        )

    def _take_in(
        self,
        wishes: list[Wish],
        asks: list[LeaseRequest],
        debts: list[float],
        result: Outcome | Exception,
        *,
        began: float,
    ) -> None:
        now = time.monotonic()
        self.transactions += 1
        if isinstance(result, Exception):
            self._fail(result, wishes, debts, now)
        elif result.answers is None:
            self._lose(wishes, debts)
        else:
            self._away_until = -math.inf
            self._alone = result.alone
            self._valid_until = began + self._ttl_s
            self._renew_at = began + min(RENEW_S, self._ttl_s / 3)
            for item, ask, answer in zip(wishes, asks, result.answers, strict=True):
                take_answer(item, ask, answer, now)
            self._active = {pool: None for pool in self._active if not pool.empty}
        self._soon()

    def _fail(self, error: Exception, wishes: list[Wish], debts: list[float], now: float) -> None:
        """The outcome is unknown: what was to be given back is not used again, and debts are told once more."""
        if self._away_until == -math.inf:
            log.warning("limits: %s", error)
        self.failures += 1
        self._away_until = now + AWAY_S
        for item, debt in zip(wishes, debts, strict=True):
            if item.pool.kind == TOKENS:
                item.pool.left -= debt

    def _lose(self, wishes: list[Wish], debts: list[float]) -> None:
        """Our lease expired and others took our shares: go on under a new name, with nothing but what is in use."""
        log.warning("limits: the lease of %s expired; its shares are lost", self._name)
        self._lives += 1
        self._name = f"{self.worker}.{self._lives}"
        self._valid_until = -math.inf
        for pool in self._active:
            pool.left = pool.row = pool.spent = pool.told = 0.0
        for item, debt in zip(wishes, debts, strict=True):
            if item.pool.kind == TOKENS:
                item.pool.left = -debt
