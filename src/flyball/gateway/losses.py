"""Findings about what could not be recorded, as soon as the ledger takes them. I/O: the ledger, in one thread.

An answer that could not be recorded is marked by a header and counted; the finding is what remains of it. It says how
many and why, once a minute while it lasts, and is tried again until it is written.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from flyball.errors import FlyballError
from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger, now_ms
from flyball.telemetry import log

FIRST_S, EVERY_S, RETRY_S = 1.0, 60.0, 2.0


class Losses:
    """What one worker could not record."""

    def __init__(self, ledger: Ledger | None, *, project: str, worker: str) -> None:
        self._ledger, self._project, self._worker = ledger, project, worker
        self._counts: Counter[str] = Counter()
        self._first_ms = 0
        self._reason = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, kind: str, reason: str) -> None:
        """One more entry (a request or a feedback) that could not be recorded, and why."""
        with self._lock:
            if not self._counts:
                self._first_ms = now_ms()
            self._counts[kind] += 1
            self._reason = reason or "it could not be encoded"
        if self._thread is None and self._ledger is not None:
            self._thread = threading.Thread(target=self._report_on, name="losses", daemon=True)
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
        """Write a finding where there is something to say; seconds until the next try."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts or self._ledger is None:
            return FIRST_S
        try:
            self._ledger.append(self._finding(counts))
        except FlyballError as error:
            log.warning("a finding waits for the ledger: %s", error.message)
            with self._lock:
                self._counts += counts
            return RETRY_S
        return EVERY_S

    def _finding(self, counts: Counter[str]) -> Finding:
        total = sum(counts.values())
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._first_ms / 1000))
        return Finding(
            id=uuid7(),
            project=self._project,
            kind="recording",
            severity="critical",
            route="",
            release=None,
            measure="unrecorded",
            value=float(total),
            reference=0.0,
            evidence={**counts, "reason": self._reason, "worker": self._worker, "since_ms": self._first_ms},
            first_seq=0,
            last_seq=0,
            examples=(),
            explanation=f"{total} entries could not be recorded from {since} on: {self._reason}",
        )
