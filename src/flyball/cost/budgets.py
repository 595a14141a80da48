"""A gateway worker's purse: it answers at once whether a request may be paid for. I/O: the ledger, in one thread.

The hot path only counts in memory; a thread leases the next slice before the last one is used up. While the ledger has
not answered yet a worker goes at most one slice, or one request, into debt; so all workers together overrun a budget
by no more than that each, and what was spent comes to light when the thread next reaches the ledger.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from flyball.cost.slices import (
    SHARE,
    TTL_S,
    Slice,
    book,
    current_period,
    lease_slice,
    settle_slice,
    settle_worker,
    spent,
)
from flyball.errors import FlyballError
from flyball.storage.ledger import Ledger
from flyball.telemetry import log

EVERY_S = 1.0
"""How often the thread settles what was used, and asks again for a budget that was spent."""


class Payer(Protocol):
    """What a budget needs of a security.Principal, which this package does not import."""

    @property
    def id(self) -> str: ...
    @property
    def budget_usd(self) -> float | None: ...


@dataclass(slots=True)
class _Account:
    """One budget in one period: slices held (`due_s`: when to give each back), and money in flight and spent."""

    budget_key: str
    period: str
    limit_usd: float
    slices: list[tuple[Slice, float]] = field(default_factory=list)
    granted: float = 0.0
    reserved: float = 0.0
    spent: float = 0.0
    largest: float = 0.0
    used_s: float = 0.0
    exhausted: bool = False

    @property
    def left(self) -> float:
        return self.granted - self.reserved - self.spent

    @property
    def cushion(self) -> float:
        """What a busy account keeps at hand: one slice, or two of its largest requests."""
        return max(self.limit_usd * SHARE, 2 * self.largest)


def _allows(account: _Account, estimate_usd: float) -> bool:
    after = account.left - estimate_usd
    if after >= 0 or account.exhausted:
        return after >= 0
    return account.left >= 0 or after >= -account.limit_usd * SHARE


class BudgetKeeper:
    """The budgets of one worker process (`worker`: a name that is never used again); close it to give the rest back."""

    def __init__(self, ledger: Ledger | None, *, worker: str, ttl_s: float = TTL_S) -> None:
        self._ledger = ledger
        self._worker = worker
        self._ttl_s = ttl_s
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def reserve(self, principal: Payer, estimate_usd: float) -> bool:
        """Whether this request may be paid for; if so its estimate is set aside until `settle`. Never waits."""
        if principal.budget_usd is None:
            return True
        with self._lock:
            account = self._account(principal.id, principal.budget_usd)
            account.used_s = time.monotonic()
            account.largest = max(account.largest, estimate_usd)
            allowed = _allows(account, estimate_usd)
            if allowed:
                account.reserved += estimate_usd
            if account.left < account.cushion / 2 and not account.exhausted:
                self._wake.set()
        return allowed

    def settle(self, principal: Payer, estimate_usd: float, actual_usd: float) -> None:
        """A reserved request ended and cost this much."""
        if principal.budget_usd is None:
            return
        with self._lock:
            account = self._account(principal.id, principal.budget_usd)
            account.reserved = max(0.0, account.reserved - estimate_usd)
            account.spent += actual_usd

    def close(self) -> None:
        """Stop the thread and settle everything: what was not spent is free for others at once."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _account(self, id: str, limit_usd: float) -> _Account:
        key = (f"key:{id}", current_period())
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(budget_key=key[0], period=key[1], limit_usd=limit_usd)
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="budgets", daemon=True)
            self._thread.start()
        account.limit_usd = limit_usd
        return account

    def _keep(self) -> None:
        while not self._closing:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            self._reach_ledger()
        self._reach_ledger()

    def _reach_ledger(self) -> None:
        if self._ledger is None:
            return
        try:
            for key, account in list(self._accounts.items()):
                over = self._closing or account.period != current_period()
                self._give_back(self._ledger, account, everything=over)
                if over:
                    del self._accounts[key]
                else:
                    self._fill(self._ledger, account)
        except FlyballError as error:  # without a ledger the slice is spent, then requests are refused
            log.warning("budgets: %s", error.message)

    def _give_back(self, ledger: Ledger, account: _Account, *, everything: bool) -> None:
        """Settle the slices that are used up or due, oldest first, and book what no slice covers any more."""
        for leased, due_s in list(account.slices):
            used = min(account.spent, leased.granted_usd)
            if everything or used >= leased.granted_usd or time.monotonic() >= due_s:
                settle_slice(ledger, leased, used)
                with self._lock:
                    account.slices.remove((leased, due_s))
                    account.granted -= leased.granted_usd
                    account.spent -= used
        uncovered = account.spent
        if uncovered > 0 and not account.slices and (everything or account.exhausted):
            with ledger.begin() as connection:
                names = {"budget_key": account.budget_key, "period": account.period, "worker": self._worker}
                book(connection, ledger.project, usd=uncovered, **names)
            with self._lock:
                account.spent -= uncovered

    def _fill(self, ledger: Ledger, account: _Account) -> None:
        """Lease slices until a busy account has its cushion, an idle one no debt, or the budget is spent."""
        while self._is_short(account):
            asked_s = time.monotonic()
            leased = lease_slice(
                ledger,
                budget_key=account.budget_key,
                limit_usd=account.limit_usd,
                period=account.period,
                worker=self._worker,
                want_usd=account.limit_usd * SHARE,
                ttl_s=self._ttl_s,
            )
            with self._lock:
                account.exhausted = leased is None
                if leased is None:
                    return
                account.slices.append((leased, asked_s + self._ttl_s / 2))
                account.granted += leased.granted_usd

    def _is_short(self, account: _Account) -> bool:
        with self._lock:
            busy = time.monotonic() - account.used_s < self._ttl_s / 2
            return account.left < (account.cushion if busy else 0.0)


__all__ = [
    "BudgetKeeper",
    "Payer",
    "Slice",
    "book",
    "current_period",
    "lease_slice",
    "settle_slice",
    "settle_worker",
    "spent",
]
