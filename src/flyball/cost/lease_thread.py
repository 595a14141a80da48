"""The one thread of a worker that leases. I/O: the ledger."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flyball.cost.limit_leases import LeaseRequest, Outcome, lease
from flyball.storage.ledger import Ledger


class _Job(NamedTuple):
    asks: Sequence[LeaseRequest]
    worker: str
    ttl_s: float
    holding: bool
    leaving: bool
    done: Callable[[Outcome | Exception], None]


class LeaseThread:
    """Runs lease transactions one after the other; starts its thread with the first."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(
        self,
        asks: Sequence[LeaseRequest],
        *,
        worker: str,
        ttl_s: float,
        holding: bool,
        leaving: bool,
        done: Callable[[Outcome | Exception], None],
    ) -> None:
        """Lease in the thread, which calls `done` with the outcome or what went wrong."""
        self._jobs.put(_Job(asks, worker, ttl_s, holding, leaving, done))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="flyball-limits", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the last job, without waiting for a ledger that does not answer."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result: Outcome | Exception
            try:
                result = lease(
                    self._ledger,
                    worker=job.worker,
                    asks=job.asks,
                    ttl_s=job.ttl_s,
                    holding=job.holding,
                    leaving=job.leaving,
                )
            except Exception as error:  # noqa: BLE001 - a thread's edge: whatever failed, the keeper must hear of it
                result = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                job.done(result)
