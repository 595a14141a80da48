"""Slow things beside the pass: each under a name, at most one of a name at a time. I/O: threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flyball.telemetry import log


@dataclass
class Outcome:
    """How a piece of work ended: with a value, or with the exception it met."""

    value: Any = None
    error: Exception | None = None


class Background:
    """Runs work in daemon threads, so that a pass never waits: a rollback must not queue behind a slow engine."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._done: dict[str, Outcome] = {}

    def submit(self, name: str, work: Callable[[], Any]) -> None:
        """Start work unless some of this name is running or waits to be taken."""
        if self.busy(name):
            return

        def run() -> None:
            try:
                outcome = Outcome(value=work())
            except Exception as error:  # noqa: BLE001 - a thread's edge: what takes the outcome decides
                outcome = Outcome(error=error)
            self._done[name] = outcome

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def busy(self, name: str) -> bool:
        """Whether work of this name runs, or its outcome waits."""
        return name in self._threads

    def take(self, name: str) -> Outcome | None:
        """The outcome of finished work, once; None while it runs or where there is none."""
        if name not in self._done:
            return None
        self._threads.pop(name).join()
        return self._done.pop(name)

    def drop(self, name: str) -> None:
        """Forget work whose outcome nobody wants any more, if it is finished."""
        self.take(name)

    def names(self) -> list[str]:
        """What runs or waits."""
        return list(self._threads)

    def join(self, timeout_s: float) -> None:
        """Wait for what runs."""
        for thread in list(self._threads.values()):
            thread.join(timeout_s)


@dataclass
class PeriodicJob:
    """Work beside the pass, begun again no sooner than so many seconds after it began last; its error is logged."""

    name: str
    began: float = -math.inf

    def run(self, background: Background, work: Callable[[], Any], *, every_s: float) -> None:
        """Begin the work if it is due and the last one is over."""
        outcome = background.take(self.name)
        if outcome is not None and outcome.error is not None:
            log.error("%s failed: %s", self.name, outcome.error)
        if time.monotonic() - self.began >= every_s and not background.busy(self.name):
            self.began = time.monotonic()
            background.submit(self.name, work)
