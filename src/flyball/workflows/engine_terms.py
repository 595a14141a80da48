"""The key and the prices that count for a release now: flyball.yaml as it stands, and the ledger. I/O: both.

The one way to them: routes, probes, evaluations and replays all ask here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flyball.engines.catalog import is_elsewhere, stands_before_server
from flyball.engines.config import EngineConfig
from flyball.errors import FlyballError
from flyball.inference.http_client import ServerAccess
from flyball.records import Release, name_of
from flyball.records.record_files import read_document
from flyball.serving.terms import RECORDED, Terms, terms_of
from flyball.settings import FILE, load_settings
from flyball.telemetry import log
from flyball.wiring import Project

Stamp = tuple[int, int, int]


class EngineTerms:
    """Terms of releases of one project; what is asked again and again follows the files while they change."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._settings: EngineConfig = project.settings.release.engine
        self._settings_stamp = _stamp(project.root / FILE)
        self._reading = threading.Lock()
        self._built: str | None = None
        self._built_stamp: Stamp | None = None
        self._recorded: dict[str, Mapping[str, Any]] = {}

    def of(self, name: str, release: Release) -> Terms:
        """The terms of the release of this name."""
        recorded, settings = self._beside(name), self._current()
        last = not is_elsewhere(release) and bool(_prices(recorded, settings)) and self._is_built_last(name)
        return terms_of(release, recorded=recorded, settings=settings, built_last=last)

    def way(self, name: str, release: Release) -> ServerAccess:
        """How the release's server is reached, where it is one elsewhere."""
        if not is_elsewhere(release):
            return ServerAccess()
        terms = self.of(name, release)
        return self._project.way(terms.api_key, terms.reach)

    def behind(self, name: str, release: Release) -> ServerAccess | None:
        """How the server is reached that the release's engine stands before; None for an engine of ours alone."""
        if not stands_before_server(release):
            return None
        terms = self.of(name, release)
        return self._project.way(terms.api_key, terms.reach)

    def _current(self) -> EngineConfig:
        """flyball.yaml's, re-read when it changed; while it is wrong the last good one goes on."""
        path = self._project.root / FILE
        with self._reading:  # probes ask from a thread of their own: nobody may see the stamp before what it stands for
            stamp = _stamp(path)
            if stamp is not None and stamp != self._settings_stamp:
                self._settings_stamp = stamp
                try:
                    self._settings = load_settings(self._project.root).release.engine
                except (FlyballError, OSError) as error:
                    log.error("prices and keys stay as they were: %s", error)
            return self._settings

    def _beside(self, name: str) -> Mapping[str, Any]:
        """What was recorded beside a release, which never changes; nothing while the ledger is away."""
        if name not in self._recorded:
            try:
                self._recorded[name] = self._project.ledger.get(name).recorded
            except FlyballError:
                return {}
        return self._recorded[name]

    def _is_built_last(self, name: str) -> bool:
        """Whether the build in loop/, or the newest release of the ledger, is this one."""
        path = self._project.places.release / "record.json"
        with self._reading:
            stamp = _stamp(path)
            if stamp != self._built_stamp:
                self._built_stamp, self._built = stamp, None
                with suppress(FlyballError, OSError):  # being written, or never built here
                    self._built = name_of(read_document(path)[0])
            if name == self._built:
                return True
        try:
            newest = self._project.ledger.find(Release, limit=1)
        except FlyballError:
            return False
        return bool(newest) and newest[0].id == name


def _prices(recorded: Mapping[str, Any], settings: EngineConfig) -> object:
    """Whether it matters at all whom flyball.yaml speaks of."""
    beside = recorded.get(RECORDED)
    return settings.usd_per_million or (isinstance(beside, Mapping) and beside.get("usd_per_million"))


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
