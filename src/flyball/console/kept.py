"""Figures that are dear to compute, kept for a few seconds so that open pages do not work the ledger. I/O: reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, cast

from sqlalchemy import func, select

from flyball.console.stages import Listening
from flyball.cost import metering
from flyball.cost.metering import CostSummary
from flyball.monitoring import health
from flyball.storage import tables
from flyball.storage.ledger import Ledger

T = TypeVar("T")


class Kept:
    """Spend and quality, at most `fresh_s` old (spend three times that: it moves slowly)."""

    def __init__(self, *, fresh_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._values: dict[str, tuple[float, object]] = {}

    def cost(self, ledger: Ledger) -> CostSummary:
        """What the loop has spent so far."""
        return self._value("cost", 3 * self._fresh_s, lambda: metering.summary(ledger))

    def listening(self, ledger: Ledger, release: str | None) -> Listening:
        """What users said of one release; nothing of none."""
        if release is None:
            return Listening(n=0, value=None, lower=None, upper=None, at_ms=None)
        return self._value(f"quality:{release}", self._fresh_s, lambda: _listening(ledger, release))

    def _value(self, name: str, fresh_s: float, make: Callable[[], T]) -> T:
        found = self._values.get(name)
        if found is None or self._clock() - found[0] > fresh_s:
            found = (self._clock(), make())
            self._values[name] = found
        return cast(T, found[1])


def _listening(ledger: Ledger, release: str) -> Listening:
    estimate = health.quality(ledger, release)
    column = tables.feedback.c
    newest = select(func.max(column.at_ms)).where(column.project == ledger.project)
    with ledger.read() as connection:
        at_ms = connection.execute(newest).scalar()
    return Listening(
        n=estimate.n,
        value=estimate.value if estimate.n else None,
        lower=estimate.lower if estimate.n else None,
        upper=estimate.upper if estimate.n else None,
        at_ms=at_ms,
    )
