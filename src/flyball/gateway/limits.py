"""Limits per key: requests and tokens per minute, requests at once, and a hard budget.

Each rate is a bucket that holds one minute's allowance and fills evenly. A request reserves its estimated tokens and
dollars and gets back what it did not use. Workers on one port share a key's rates equally.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from flyball.cost.budgets import BudgetKeeper
from flyball.gateway.envelope import HttpRefusal
from flyball.security.principals import Principal


class Bucket:
    """An allowance per minute."""

    __slots__ = ("at", "capacity", "level")

    def __init__(self, capacity: float, now: float) -> None:
        self.capacity = self.level = capacity
        self.at = now

    def refill(self, now: float) -> None:
        """What came in since the last look."""
        self.level = min(self.capacity, self.level + (now - self.at) * self.capacity / 60)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` is there; an amount beyond the capacity waits for a full bucket."""
        return max(0.0, (min(amount, self.capacity) - self.level) * 60 / self.capacity)


class _Account:
    __slots__ = ("active", "requests", "tokens")

    def __init__(self) -> None:
        self.active = 0
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None


@dataclass(slots=True)
class Admission:
    """One admitted request; `settle` it exactly once."""

    limits: Limits
    principal: Principal
    tokens: int
    usd: float
    headers: bytes = b""

    def settle(self, *, tokens: int, usd: float) -> None:
        """Say what was really used."""
        account = self.limits.accounts.get(self.principal.id)
        if account is not None:
            account.active -= 1
            if account.tokens is not None:
                account.tokens.level += self.tokens - tokens
        self.limits.budgets.settle(self.principal, self.usd, usd)


class Limits:
    """The limits of all keys in one worker."""

    def __init__(self, budgets: BudgetKeeper, *, workers: int) -> None:
        self.budgets = budgets
        self._workers = workers
        self.accounts: dict[str, _Account] = {}

    def admit(self, principal: Principal, *, tokens: int, usd: float) -> Admission:
        """Let a request in, or 429 with when to come back."""
        account = self.accounts.get(principal.id)
        if account is None:
            account = self.accounts[principal.id] = _Account()
        if principal.concurrency is not None and account.active >= max(1, principal.concurrency // self._workers):
            raise too_many(
                f"this key has {account.active} requests in flight, its limit", code="concurrency", wait_s=1.0
            )
        now = time.monotonic()
        account.requests = _bucket(account.requests, principal.requests_per_minute, self._workers, now)
        account.tokens = _bucket(account.tokens, principal.tokens_per_minute, self._workers, now)
        _check(account, account.requests, 1, "requests")
        _check(account, account.tokens, tokens, "tokens")
        if not self.budgets.reserve(principal, usd):
            raise HttpRefusal(
                429,
                f"the budget of this key ({principal.budget_usd} USD a month) is spent",
                code="budget_exceeded",
                headers=(("retry-after", "3600"),),
            )
        account.active += 1
        if account.requests is not None:
            account.requests.level -= 1
        if account.tokens is not None:
            account.tokens.level -= tokens
        headers = "".join([f"{name}: {value}\r\n" for name, value in _headers(account)]).encode()
        return Admission(self, principal, tokens, usd, headers)


def too_many(message: str, *, code: str, wait_s: float, headers: tuple[tuple[str, str], ...] = ()) -> HttpRefusal:
    """429 with Retry-After."""
    retry = ("retry-after", str(max(1, math.ceil(wait_s))))
    return HttpRefusal(429, message, code=f"{code}_limit_exceeded", headers=(retry, *headers))


def _bucket(bucket: Bucket | None, per_minute: int | None, workers: int, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    capacity = max(1.0, per_minute / workers)
    if bucket is None or bucket.capacity != capacity:
        return Bucket(capacity, now)
    bucket.refill(now)
    return bucket


def _check(account: _Account, bucket: Bucket | None, amount: float, what: str) -> None:
    if bucket is not None and (wait_s := bucket.wait_s(amount)) > 0:
        message = f"the limit of {bucket.capacity:g} {what} per minute is reached"
        raise too_many(message, code=what, wait_s=wait_s, headers=_headers(account))


def _headers(account: _Account) -> tuple[tuple[str, str], ...]:
    out: list[tuple[str, str]] = []
    for name, bucket in (("requests", account.requests), ("tokens", account.tokens)):
        if bucket is not None:
            out += [
                (f"x-ratelimit-limit-{name}", f"{bucket.capacity:.0f}"),
                (f"x-ratelimit-remaining-{name}", f"{max(0, math.floor(bucket.level))}"),
                (f"x-ratelimit-reset-{name}", f"{bucket.wait_s(bucket.capacity):.2f}s"),
            ]
    return tuple(out)
