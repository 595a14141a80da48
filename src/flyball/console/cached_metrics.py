"""Figures that are expensive to compute, kept so that no page waits for them. I/O: reads the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread
from typing import Any, cast

from sqlalchemy import func, select

from flyball.console.evidence import exact_match
from flyball.console.stages import Listening
from flyball.cost import charges
from flyball.cost.charges import CostSummary
from flyball.monitoring import health
from flyball.records import EvalReport, Measure
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.telemetry import log

REPORTS = 100
DUTY = 10
"""A figure is computed again after `DUTY` times as long as it took, so that a large ledger rests too."""

STALE = 4
"""From so many times its due age on, a page waits a moment for the next value: it was not looked at for a while."""


class Figure:
    """One figure: its last value, and the making of the next one in a thread that no exit waits for."""

    def __init__(self, name: str, make: Callable[[], object], turn: Lock) -> None:
        self.value: Any = None
        self._name = name
        self._make = make
        self._turn = turn  # figures are made one at a time, so that they leave the pages a core
        self._made_at = float("-inf")
        self._took_s = 0.0
        self._idle = Event()
        self._idle.set()

    def look(self, *, fresh_s: float, wait_s: float) -> Any:
        """The last value; starts making the next one when this is old, and waits a moment when it is very old."""
        age = time.monotonic() - self._made_at
        if self._idle.is_set() and age > max(fresh_s, DUTY * self._took_s):
            self._idle.clear()
            Thread(target=self._remake, name=f"figure-{self._name}", daemon=True).start()
        if age > STALE * max(fresh_s, self._took_s):
            self._idle.wait(wait_s)
        return self.value

    def _remake(self) -> None:
        with self._turn:
            began = time.monotonic()
            try:
                self.value = self._make()
            except Exception:  # noqa: BLE001 (the edge of a thread: pages go on with the last value, the log has the reason)
                log.exception("the figure %s could not be made", self._name)
            self._made_at = time.monotonic()
            self._took_s = self._made_at - began
            self._idle.set()


class CachedMetrics:
    """Spend and quality. A first look waits `wait_s` at most, later ones not at all: they see the last value."""

    def __init__(self, *, fresh_s: float = 5.0, wait_s: float = 0.05) -> None:
        self._fresh_s = fresh_s
        self._wait_s = wait_s
        self._figures: dict[str, Figure] = {}
        self._turn = Lock()

    def cost(self, ledger: Ledger) -> CostSummary | None:
        """What the loop has spent so far; None while it is being added up for the first time."""
        found: CostSummary | None = self._value("cost", lambda: charges.summary(ledger))
        return found

    def listening(self, ledger: Ledger, release: str) -> Listening | None:
        """What users said of one release; None while it is being counted for the first time."""
        found: Listening | None = self._value(f"quality-{release[:12]}", lambda: _listening(ledger, release))
        return found

    def evaluated(self, ledger: Ledger) -> Mapping[str, Measure] | None:
        """The measure that stands for each release's newest report; None while it is being looked up."""
        found: Mapping[str, Measure] | None = self._value("evaluated", lambda: _evaluated(ledger))
        return found

    def _value(self, name: str, make: Callable[[], object]) -> Any:
        figure = self._figures.setdefault(name, Figure(name, make, self._turn))
        return figure.look(fresh_s=self._fresh_s, wait_s=self._wait_s)


def _evaluated(ledger: Ledger) -> Mapping[str, Measure]:
    found: dict[str, Measure] = {}
    for stored in ledger.find(EvalReport, limit=REPORTS):
        report = cast(EvalReport, stored.record)
        best = exact_match(report)
        if best is not None:
            found.setdefault(report.release, best)
    return found


def _listening(ledger: Ledger, release: str) -> Listening:
    estimate = health.quality(ledger, release)
    column = tables.feedback.c
    newest = select(func.max(column.at_ms)).where(column.project == ledger.project)
    with ledger.read() as connection:
        at_ms = connection.execute(newest).scalar()
    measured = estimate.n > 0
    return Listening(
        n=estimate.n,
        value=estimate.value,
        lower=estimate.lower if measured else None,
        upper=estimate.upper if measured else None,
        at_ms=at_ms,
    )
