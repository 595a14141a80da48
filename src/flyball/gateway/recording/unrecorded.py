"""Findings about what could not be recorded, as soon as the ledger takes them.

An answer that could not be recorded is marked by a header and counted; the finding is what remains of it. It says how
many and why, once a minute while it lasts.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from flyball.gateway.recording.findings_writer import Reporter
from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger, now_ms


class Unrecorded:
    """What one worker could not record."""

    def __init__(self, ledger: Ledger | None, *, project: str, worker: str) -> None:
        self._project, self._worker = project, worker
        self._counts: Counter[str] = Counter()
        self._first_ms = 0
        self._reason = ""
        self._lock = threading.Lock()
        self._reporter = Reporter(ledger, name="losses", take=self._due, put_back=self._keep)

    def note(self, kind: str, reason: str) -> None:
        """One more entry (a request or a feedback) that could not be recorded, and why."""
        with self._lock:
            if not self._counts:
                self._first_ms = now_ms()
            self._counts[kind] += 1
            self._reason = reason or "it could not be encoded"
        self._reporter.wake()

    def close(self) -> None:
        """Write what is left, if the ledger takes it."""
        self._reporter.close()

    def _due(self) -> list[Finding]:
        with self._lock:
            self._told, self._counts = self._counts, Counter()
            return [self._finding(self._told)] if self._told else []

    def _keep(self, _findings: list[Finding]) -> None:
        with self._lock:
            self._counts += self._told

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
