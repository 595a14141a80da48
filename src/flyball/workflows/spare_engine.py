"""The one engine that the playground may start beside those that serve. I/O: an engine process, the ledger.

It is checked for room as a deployment's is, waits while a deployment starts its own, and ends after a time unused and
with the process that started it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from flyball.errors import LockedError
from flyball.records import Deployment, Release
from flyball.serving.engine_processes import EngineHandle, is_alive, start_engine, stop_engine, wait_ready
from flyball.serving.placement import require_memory
from flyball.storage.deployments import history, open_deployments
from flyball.wiring import Project

IDLE_S = 180.0
STARTING = ("requested", "starting")
"""States of a deployment that has no engine yet."""


class SpareEngine:
    """At most one engine; another release takes its place."""

    def __init__(self, project: Project, *, idle_s: float = IDLE_S) -> None:
        self._project, self._idle_s = project, idle_s
        self._lock = threading.RLock()
        self._handle: EngineHandle | None = None
        self._used = 0.0
        self._timer: threading.Timer | None = None

    @property
    def release(self) -> str | None:
        """The release that it holds now."""
        handle = self._handle
        return handle.release if handle and is_alive(handle) else None

    def url(self, name: str, release: Release) -> str:
        """Where the release answers: started now, unless it runs; NoRoom or LockedError where it may not start."""
        with self._lock:
            self._used = time.monotonic()
            if self.release == name and self._handle:
                return self._handle.url
            self.end()
            self._handle = self._start(name, release)
            self._used = time.monotonic()
            self._wait(self._idle_s)
            return self._handle.url

    def end(self) -> None:
        """End it, where there is one."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            if self._handle:
                stop_engine(self._handle, grace_s=1.0)
            self._handle = self._timer = None

    def _start(self, name: str, release: Release) -> EngineHandle:
        project = self._project
        self._let_deployments_go_first()
        artifact = project.artifacts.path(release.model)
        adapter = project.artifacts.path(release.adapter) if release.adapter else None
        require_memory(release, artifact, adapter=adapter)
        with TemporaryDirectory(prefix="flyball-engine-") as folder:  # control looks for its own engines elsewhere
            handle = start_engine(
                release,
                release_name=name,
                artifact=artifact,
                run_dir=Path(folder),
                log_dir=project.places.logs,
                config=project.settings.serving,
                adapter=adapter,
                owned=True,
            )
            try:
                return wait_ready(handle, release, timeout_s=project.settings.rollout.ready_timeout_s)
            except BaseException:
                stop_engine(handle, grace_s=1.0)
                raise

    def _let_deployments_go_first(self) -> None:
        for stored in open_deployments(self._project.ledger):
            assert isinstance(stored.record, Deployment)
            steps = history(self._project.ledger, stored.id)
            if not steps or steps[-1][0].state in STARTING:
                raise LockedError(
                    f"the deployment {stored.id} on {stored.record.route} is starting its engines",
                    cure="try again when it has started (see Deployments), or choose a release that runs",
                )

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end_if_unused)
        self._timer.daemon = True
        self._timer.start()

    def _end_if_unused(self) -> None:
        with self._lock:
            left = self._used + self._idle_s - time.monotonic()
            if self._handle is None:
                return
            if left > 0:
                self._wait(left)
            else:
                self.end()
