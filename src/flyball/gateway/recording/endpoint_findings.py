"""Findings about endpoints that fail: which one, asked for what, why, and how often.

One that cannot be reached is told of after three attempts over three seconds (an engine that is started again takes
less), another failure after ten; each again after an hour at the earliest.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from flyball.gateway.recording.findings_writer import Reporter
from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger

UNREACHABLE_AFTER: Final = 3
FAILING_AFTER: Final = 10
LASTING_S: Final = 3.0
FORGET_S: Final = 60.0
"""Failures so far apart have nothing to do with each other."""
AGAIN_S: Final = 3600.0
MOST: Final = 256


@dataclass(slots=True)
class _Trouble:
    """One endpoint that fails in one way at one kind of request."""

    endpoint: str
    route: str
    path: str
    cause: str
    count: int = 0
    last_request: str = ""
    first_at: float = 0.0
    last_at: float = -FORGET_S
    told_at: float = -AGAIN_S

    @property
    def unreachable(self) -> bool:
        return self.cause.startswith("connect: ")

    @property
    def lasts(self) -> bool:
        if self.unreachable:
            return self.count >= UNREACHABLE_AFTER and self.last_at - self.first_at >= LASTING_S
        return self.count >= FAILING_AFTER

    def happened(self, request: str, now: float) -> None:
        if now - self.last_at >= FORGET_S:
            self.count, self.first_at = 0, now
        self.count, self.last_at, self.last_request = self.count + 1, now, request


class EndpointFindings:
    """What endpoints failed in at one worker."""

    def __init__(self, ledger: Ledger | None, *, project: str, worker: str) -> None:
        self._project, self._worker = project, worker
        self._found: dict[tuple[str, str, str], _Trouble] = {}
        self._unsaid: list[Finding] = []
        self._lock = threading.Lock()
        self._reporter = Reporter(ledger, name="troubles", take=self._due, put_back=self._keep)

    def note(self, *, endpoint: str, route: str, path: str, cause: str, request: str) -> None:
        """One more attempt that failed."""
        key = (endpoint, path, cause)
        with self._lock:
            trouble = self._found.get(key)
            if trouble is None:
                if len(self._found) >= MOST:
                    self._found.clear()
                trouble = self._found[key] = _Trouble(endpoint, route, path, cause)
            trouble.happened(request, time.monotonic())
        self._reporter.wake()

    def close(self) -> None:
        """Write what is left, if the ledger takes it."""
        self._reporter.close()

    def _due(self) -> list[Finding]:
        now = time.monotonic()
        with self._lock:
            found, self._unsaid = self._unsaid, []
            for trouble in self._found.values():
                if trouble.lasts and now - trouble.told_at >= AGAIN_S:
                    found.append(self._finding(trouble))
                    trouble.told_at, trouble.count = now, 0
        return found

    def _keep(self, findings: list[Finding]) -> None:
        with self._lock:
            self._unsaid += findings

    def _finding(self, trouble: _Trouble) -> Finding:
        what = "cannot be reached" if trouble.unreachable else "fails"
        times = f"{trouble.count} attempts on {trouble.path} for {trouble.route}"
        return Finding(
            id=uuid7(),
            project=self._project,
            kind="health",
            severity="critical" if trouble.unreachable else "warning",
            route=trouble.route,
            release=None,
            measure="unreachable" if trouble.unreachable else "failing",
            value=float(trouble.count),
            reference=0.0,
            evidence={
                "endpoint": trouble.endpoint,
                "path": trouble.path,
                "cause": trouble.cause,
                "worker": self._worker,
            },
            first_seq=0,
            last_seq=0,
            examples=(trouble.last_request,),
            explanation=f"{trouble.endpoint} {what}: {trouble.cause}; {times}",
        )
