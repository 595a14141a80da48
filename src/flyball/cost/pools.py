"""What a worker holds of one limit, and how much more of it to ask for. Pure.

A limit belongs to an account ("key:ID" or "team:NAME") and is of one kind: requests at once (seats), requests or tokens
per minute, dollars per month. A pool is spent from without asking; what it holds beyond the requests in flight is at
most a hundredth of the limit or, where that is less than one request, one request.
"""

from __future__ import annotations

import math
import time
from calendar import timegm
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["seats", "requests", "tokens", "usd"]
KINDS: tuple[Kind, ...] = ("seats", "requests", "tokens", "usd")
SEATS, REQUESTS, TOKENS, USD = range(4)
SHARE: Final = 0.01
"""The largest part of a limit that is leased ahead of need."""
LOOK_AGAIN_S = (0.1, 0.2, 0.2, 1.0)
"""By kind: how long a limit of which the ledger had nothing left is refused without asking again."""
IDLE_S: Final = 2.0
"""After this time without use a pool is given back."""
IDLE_ALONE_S, IDLE_SHARED_S = 0.5, 0.1
"""The same where a hundredth is less than a request, alone and beside other workers: they may need just this one."""

_UP = 1 + 1e-9  # so that what is lacking, added to what is there, is enough also in floating point
DUST = 1e-12
"""Less than any request costs: what floating point leaves of dollars that were set aside and came back."""

Need = tuple[float, float, float, float]
"""What one request takes of a limit of each kind, in the order of KINDS."""


class Pool:
    """One limit in one worker. Amounts are requests, tokens or dollars; `limit` is per minute, at once or per month."""

    __slots__ = (
        "account",
        "cushion",
        "dry_until",
        "free",
        "free_at",
        "in_use",
        "kind",
        "last",
        "left",
        "limit",
        "low",
        "others",
        "period",
        "row",
        "spent",
        "takes",
        "takes_seen",
        "told",
        "told_at",
        "used_at",
        "waiting",
    )

    def __init__(self, account: str, kind: int, limit: float, period: str = "") -> None:
        self.account, self.kind, self.period = account, kind, period
        self.left = self.in_use = self.spent = 0.0  # to spend; set aside for requests in flight; spent (usd)
        self.row = self.told = self.told_at = 0.0  # what the ledger has of us: granted, spent, since when
        self.free = self.others = 0.0  # what the ledger had left, and what others held, when it was last asked
        self.free_at = self.dry_until = -math.inf
        self.takes = self.takes_seen = self.waiting = 0
        self.last = 1.0  # the amount of the latest request
        self.used_at = -math.inf
        self.resize(limit)

    def resize(self, limit: float) -> None:
        """Set the limit, and with it how much is leased ahead."""
        self.limit = limit
        ahead = limit * SHARE
        self.cushion = float(math.floor(ahead)) if self.kind in (SEATS, REQUESTS) else ahead
        self.low = self.cushion / 2  # below it more is asked for

    @property
    def is_rate(self) -> bool:
        """Whether it fills again by itself, evenly over a minute."""
        return self.kind in (REQUESTS, TOKENS)

    @property
    def ahead(self) -> float:
        """How much to hold ahead of need: nothing where a hundredth is less than a request."""
        return self.cushion if self.cushion >= self.last else 0.0

    def there(self, now: float) -> float:
        """What the ledger has left by now, as far as this worker knows."""
        if not self.is_rate:
            return self.free
        return min(self.limit, self.free + (now - self.free_at) * self.limit / 60)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until a rate has `amount`; for the other kinds nobody knows, and it is 1."""
        if not self.is_rate:
            return 1.0
        return max(0.0, amount - self.left - self.there(now)) * 60 / self.limit

    def remaining(self, now: float) -> float:
        """What is left of the whole limit, in the ledger and here, as far as this worker knows."""
        if self.free_at == -math.inf:
            return self.limit
        remaining = self.free + self.left
        if self.kind == REQUESTS or self.kind == TOKENS:  # it fills again, see `there`
            remaining += (now - self.free_at) * self.limit / 60
        return self.limit if remaining > self.limit else max(0.0, remaining)

    def is_idle(self, now: float, *, alone: bool) -> bool:
        """Whether it went unused long enough to be given back."""
        few = IDLE_ALONE_S if alone else IDLE_SHARED_S
        return now - self.used_at > (IDLE_S if self.ahead else few)

    def note_use(self, now: float) -> None:
        """Remember when it was last taken from."""
        if self.takes != self.takes_seen:
            self.takes_seen, self.used_at = self.takes, now

    @property
    def counted(self) -> float:
        """What cannot be given back yet: seats and dollars of requests in flight."""
        return self.in_use if self.kind in (SEATS, USD) else 0.0

    @property
    def unknown(self) -> bool:
        """Whether requests are in flight that the ledger does not know of: the lease that they went on was lost."""
        return self.row < self.counted * (1 - 1e-9)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell the ledger or to wait for."""
        held = self.left or self.in_use or self.waiting or self.row
        return not held and self.spent == self.told


@dataclass(slots=True)
class Lack:
    """What the requests that wait need of a pool: all of them, and the first."""

    total: float = 0.0
    first: float = 0.0

    def add(self, amount: float) -> None:
        """One more request waits."""
        self.first = self.first or amount
        self.total += amount


@dataclass(frozen=True, slots=True)
class Wish:
    """What to tell the ledger of a pool: `keep` of what is left, `want` more or, below `least`, nothing."""

    pool: Pool
    keep: float
    want: float
    least: float


def wish(pool: Pool, lack: Lack | None, now: float, *, alone: bool) -> Wish:
    """What this pool needs now; what was used beyond what was held is told beside it."""
    left = max(pool.left, 0.0)
    if lack is not None:
        want = _whole(pool, max(0.0, lack.total + pool.ahead - left) * _UP)
        return Wish(pool, left, want, max(0.0, lack.first - left) * _UP)
    if pool.is_idle(now, alone=alone):
        return Wish(pool, 0.0, 0.0, 0.0)
    if left < pool.ahead * 0.75 and now >= pool.dry_until:
        want = _whole(pool, pool.ahead - left)
        return Wish(pool, left, want, min(want, pool.last))
    if pool.kind in (SEATS, REQUESTS):
        return Wish(pool, left, 0.0, 0.0)
    return Wish(pool, min(left, max(pool.ahead, pool.last)), 0.0, 0.0)


def is_new(item: Wish, now: float, *, alone: bool) -> bool:
    """Whether the ledger must hear of this: something is wanted, given back, owed, spent, or all used up."""
    pool = item.pool
    if item.want or item.keep != pool.left or (pool.spent != pool.told and now - pool.told_at > IDLE_S / 4):
        return True
    return pool.unknown or (pool.is_idle(now, alone=alone) and pool.row > pool.counted)


def is_due(pool: Pool, now: float, *, alone: bool) -> bool:
    """Whether the ledger should hear of this pool now, though no request waits for it."""
    if pool.left < 0 or pool.unknown or (pool.spent != pool.told and now - pool.told_at > IDLE_S):
        return True
    if pool.is_idle(now, alone=alone):
        return pool.left > 0 or pool.row > pool.counted
    if pool.kind in (TOKENS, USD) and pool.left > 2 * max(pool.ahead, pool.last):
        return True
    return pool.left < pool.ahead / 2 and now >= pool.dry_until


def refill(*, level: float, capacity: float, elapsed_s: float, held: float) -> float:
    """A bucket's level after a time: it fills evenly over a minute, and with what workers hold never exceeds capacity.

    So in any time t at most capacity + t · capacity / 60 is given out, whatever workers hold at its beginning.
    """
    return min(capacity - held, level + max(0.0, elapsed_s) * capacity / 60)


def grant(free: float, *, want: float, least: float, whole: bool) -> float:
    """How much of what is free a worker gets: up to `want`, but nothing that would not help its first request."""
    amount = min(want, free)
    if whole:
        amount = float(math.floor(amount))
    return amount if amount > 0 and amount * _UP**2 >= least else 0.0


def period_of(now_s: float) -> str:
    """The calendar month in UTC, such as 2026-11."""
    return time.strftime("%Y-%m", time.gmtime(now_s))


def month_bounds(now_s: float) -> tuple[float, float]:
    """When this month began and when the next one begins, in Unix seconds (UTC)."""
    moment = time.gmtime(now_s)
    begin = timegm((moment.tm_year, moment.tm_mon, 1, 0, 0, 0))
    end = timegm((moment.tm_year + moment.tm_mon // 12, moment.tm_mon % 12 + 1, 1, 0, 0, 0))
    return float(begin), float(end)


def lacking(pools: Sequence[Pool], need: Need) -> list[Pool]:
    """The pools that hold too little for a request."""
    return [pool for pool in pools if pool.left < need[pool.kind]]


def _whole(pool: Pool, amount: float) -> float:
    return float(round(amount)) if pool.kind in (SEATS, REQUESTS) else amount
