"""Limits per key and team in one worker: requests and tokens per minute, requests at once, and a hard budget.

A request must fit every limit of its key and of its key's team. It sets aside its estimated tokens and dollars and gets
back what it did not use. What a worker may admit is leased from the ledger (cost/), so that all workers of all hosts
together keep to the limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flyball.cost.lease_requests import Limit, Shortage
from flyball.cost.limiter import Limiter
from flyball.cost.pools import KINDS, REQUESTS, SEATS, TOKENS, Kind, Need, Pool
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.security.principals import Allowance, Principal

_SPENT_RETRY_S: Final = 3600
"""When to come back to a budget that is spent: it may be raised; it begins again with the month."""
_FIELDS: dict[Kind, str] = {
    "seats": "concurrency",
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "usd": "budget_usd",
}
_CODES: dict[Kind, str] = {
    "seats": "concurrency_limit_exceeded",
    "requests": "requests_limit_exceeded",
    "tokens": "tokens_limit_exceeded",
    "usd": "budget_exceeded",
}


@dataclass(slots=True)
class _Account:
    """What one principal must fit: its pools, and those that its answers tell of."""

    principal: Principal
    period: str
    pools: tuple[Pool, ...]
    told: tuple[tuple[Pool, bytes, bytes], ...]


class Admission:
    """One admitted request; `settle` it exactly once."""

    __slots__ = ("headers", "keeper", "need", "pools")

    def __init__(self, keeper: Limiter, pools: tuple[Pool, ...], need: Need, headers: bytes) -> None:
        self.keeper, self.pools, self.need, self.headers = keeper, pools, need, headers

    def settle(self, *, tokens: int, usd: float) -> None:
        """Say what was really used."""
        if self.pools:
            self.keeper.settle(self.pools, self.need, tokens=tokens, usd=usd)


class Limits:
    """The limits of all keys and teams in one worker."""

    def __init__(self, keeper: Limiter) -> None:
        self.keeper = keeper
        self._accounts: dict[str, _Account] = {}

    def admit(self, principal: Principal, *, tokens: int, usd: float, seats: float = 1.0) -> Admission | None:
        """Let a request in at once; None where it must wait for the ledger, or is refused: see `admitted`."""
        account = self._account(principal)
        need = (seats, 1.0, tokens, usd)
        if not self.keeper.take(account.pools, need):
            return None
        return Admission(self.keeper, account.pools, need, _headers(account) if account.told else b"")

    async def admitted(self, principal: Principal, *, tokens: int, usd: float, seats: float = 1.0) -> Admission:
        """Let a request in after a short wait in turn, or 429 with when to come back."""
        self.keeper.look_at_calendar()
        account = self._account(principal)
        need = (seats, 1.0, tokens, usd)
        shortage = await self.keeper.wait(account.pools, need)
        if shortage is not None:
            raise _refusal(account, shortage, need)
        return Admission(self.keeper, account.pools, need, _headers(account))

    def _account(self, principal: Principal) -> _Account:
        account = self._accounts.get(principal.id)
        if account is None or account.principal is not principal or account.period is not self.keeper.period:
            account = self._accounts[principal.id] = self._made(principal)
        return account

    def _made(self, principal: Principal) -> _Account:
        limits = list(_limits(f"key:{principal.id}", principal))
        if principal.team is not None and principal.team_limits is not None:
            limits += _limits(f"team:{principal.team}", principal.team_limits)
        limits.sort(key=lambda limit: KINDS.index(limit.kind))
        pools = self.keeper.pools(limits)
        told = []
        for kind in (REQUESTS, TOKENS):
            pool = next((pool for pool in pools if pool.kind == kind), None)  # the key's own limit comes first
            if pool is not None:
                told.append((pool, *_header_lines(KINDS[kind], pool.limit)))
        return _Account(principal, self.keeper.period, pools, tuple(told))


def _limits(account: str, allowance: Principal | Allowance) -> Iterator[Limit]:
    for kind, field in _FIELDS.items():
        amount = getattr(allowance, field)
        if amount is not None:
            yield Limit(account, kind, float(amount))


def _refusal(account: _Account, shortage: Shortage, need: Need) -> HttpRefusal:
    """429 that says which limit of whom, and when to come back."""
    pool = shortage.pool
    kind = KINDS[pool.kind]
    whose = "this key" if pool.account.startswith("key:") else f"the team {pool.account.removeprefix('team:')}"
    lines = tuple(
        (name, value.strip())
        for name, _, value in (line.partition(": ") for line in _headers(account).decode().splitlines())
    )
    limit = _named(pool)
    if shortage.reason == "never":
        amount = f"{need[pool.kind]:g} {kind}" if pool.kind == TOKENS else f"{need[pool.kind]:.6g} USD"
        message = f"this request may use {amount}, more than the limit of {whose}: {limit}; lower max_tokens"
        return HttpRefusal(429, message, code=_CODES[kind], headers=(("x-should-retry", "false"), *lines))
    retry = ("retry-after", str(max(1, math.ceil(shortage.wait_s))))
    if shortage.reason == "away":
        message = f"the limit of {whose} ({limit}) cannot be checked: the ledger does not answer now"
        return HttpRefusal(429, message, code="limits_unavailable", headers=(retry, *lines))
    if kind == "usd":
        retry = ("retry-after", str(_SPENT_RETRY_S))
    return HttpRefusal(429, f"the limit of {whose} is reached: {limit}", code=_CODES[kind], headers=(retry, *lines))


def _named(pool: Pool) -> str:
    if pool.kind == SEATS:
        return f"{pool.limit:g} requests at once"
    if pool.is_rate:
        return f"{pool.limit:g} {KINDS[pool.kind]} per minute"
    return f"a budget of {pool.limit:g} USD a month"


def _header_lines(kind: Kind, limit: float) -> tuple[bytes, bytes]:
    """What stands before the number of what is left, and between it and the seconds until all is there again."""
    name = kind.encode()
    before = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: " % (name, int(limit), name)
    return before, b"\r\nx-ratelimit-reset-%b: " % name


def _headers(account: _Account) -> bytes:
    """The whole limits, and what is left of them as far as this worker knows."""
    now = time.monotonic()
    out = b""
    for pool, before, between in account.told:
        remaining = pool.remaining(now)
        # in whole numbers: formatting a float took more than all the rest
        hundredths = int((pool.limit - remaining) * 6000 / pool.limit + 0.5)
        left, seconds, tenth, hundredth = int(remaining), hundredths // 100, hundredths // 10 % 10, hundredths % 10
        out += b"%b%d%b%d.%d%ds\r\n" % (before, left, between, seconds, tenth, hundredth)
    return out
