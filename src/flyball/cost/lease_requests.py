"""What passes between requests, a worker's pools and the ledger: waiting, shortages, asks and answers. Pure."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from flyball.cost.limit_leases import Answer, LeaseRequest
from flyball.cost.pools import LOOK_AGAIN_S, REQUESTS, SEATS, TOKENS, USD, Kind, Need, Pool, Wish


class Limit(NamedTuple):
    """One limit of an account: `amount` per minute, at once, or per month."""

    account: str
    kind: Kind
    amount: float


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a request may not go on: `never` fits, the limit is `spent`, or the ledger is `away`; when to come back."""

    pool: Pool
    reason: Literal["never", "spent", "away"]
    wait_s: float


@dataclass(eq=False, slots=True)
class Waiter:
    pools: Sequence[Pool]
    need: Need
    told: asyncio.Future[Shortage | None]

    def tell(self, shortage: Shortage | None) -> None:
        if not self.told.done():
            self.told.set_result(shortage)


def ask_of(item: Wish) -> LeaseRequest:
    """What the ledger is told and asked of one pool."""
    pool = item.pool
    is_rate = pool.kind in (REQUESTS, TOKENS)
    used = pool.spent if pool.kind == USD else pool.in_use if pool.kind == SEATS else 0.0
    return LeaseRequest(
        account=pool.account,
        kind=pool.kind,
        period=pool.period,
        limit=pool.limit,
        used=used,
        held=item.keep + (pool.in_use if pool.kind == USD else 0.0),
        had=max(pool.row, pool.left),
        returned=pool.left - item.keep if is_rate else 0.0,
        want=item.want,
        least=item.least,
    )


def take_answer(item: Wish, ask: LeaseRequest, answer: Answer, now: float) -> None:
    """Put what was granted into the pool, and remember what the ledger has left."""
    pool = item.pool
    pool.left += answer.granted
    pool.free, pool.free_at, pool.others = answer.free, now, answer.others
    pool.row = ask.held + answer.granted + (ask.used if pool.kind == SEATS else 0.0)
    pool.told, pool.told_at = (ask.used if pool.kind == USD else 0.0), now
    pool.low = pool.ahead / 2
    if answer.granted < ask.want:
        pool.dry_until = now + LOOK_AGAIN_S[pool.kind]
    elif ask.want:
        pool.dry_until = -math.inf
