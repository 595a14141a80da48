"""Writes findings of a gateway worker from a thread that begins when there is something to say. I/O: the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flyball.errors import FlyballError
from flyball.records import Finding
from flyball.storage.ledger import Ledger
from flyball.telemetry import log

FIRST_S, EVERY_S, RETRY_S = 1.0, 60.0, 2.0


class Reporter:
    """Findings about one matter: `take` gives those that are due, `put_back` gets those that the ledger did not take.

    A finding is tried again until it is written; after one nothing more is said for a minute.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        name: str,
        take: Callable[[], list[Finding]],
        put_back: Callable[[list[Finding]], None],
    ) -> None:
        self._ledger, self._name, self._take, self._put_back = ledger, name, take, put_back
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There may be something to say from now on."""
        if self._thread is None and self._ledger is not None:
            self._thread = threading.Thread(target=self._report_on, name=self._name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is left, if the ledger takes it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _report_on(self) -> None:
        pause = FIRST_S
        while not self._stop.wait(pause):
            pause = self._report()
        self._report()

    def _report(self) -> float:
        """Write what is due; seconds until the next try."""
        waiting = self._take()
        if not waiting or self._ledger is None:
            return FIRST_S
        while waiting:
            try:
                self._ledger.append(waiting[0])
            except FlyballError as error:
                log.warning("a finding waits for the ledger: %s", error.message)
                self._put_back(waiting)
                return RETRY_S
            waiting = waiting[1:]
        return EVERY_S
