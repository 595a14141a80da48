"""Settings that change while the gateway serves: re-read when their file changes. I/O: one file.

A worker goes on with its last settings when the new ones are wrong; no connection is touched either way. What shapes
the listening socket and the segments stays until the next start, and the log says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.cost.config import CostConfig
from flyball.errors import FlyballError
from flyball.gateway.config import GatewayConfig
from flyball.telemetry import log

UNTIL_RESTART = ("host", "port", "workers", "connect_timeout_s", "max_body_bytes")
RECORDING_UNTIL_RESTART = ("max_disk_mb", "sealed_days", "retention_days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where settings come from: their file, and how it is read (FlyballError for a wrong one)."""

    path: Path
    read: Callable[[], tuple[GatewayConfig, CostConfig]]


class SettingsFile:
    """One settings file and what it said last."""

    def __init__(self, source: Source, *, config: GatewayConfig) -> None:
        self._source = source
        self._stamp = self._look()
        self.failed = False
        self._written = config
        with suppress(FlyballError, OSError):
            self._written = source.read()[0]  # a command line may have changed host and port since

    def changed(self, config: GatewayConfig) -> tuple[GatewayConfig, CostConfig] | None:
        """The settings to go on with when the file changed since the last look; None when there is nothing new."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            wanted, cost = self._source.read()
        except (FlyballError, OSError) as error:
            self.failed = True
            log.error("the settings are not used, the last ones go on: %s", error)
            return None
        self.failed = False
        for name in waiting(self._written, wanted):
            log.warning("gateway.%s changed: it takes effect at the next start", name)
        self._written = wanted
        return merged(config, wanted), cost

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._source.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def waiting(before: GatewayConfig, wanted: GatewayConfig) -> list[str]:
    """The changed settings that need a restart."""
    names = [name for name in UNTIL_RESTART if getattr(before, name) != getattr(wanted, name)]
    return names + [
        f"recording.{name}"
        for name in RECORDING_UNTIL_RESTART
        if getattr(before.recording, name) != getattr(wanted.recording, name)
    ]


def merged(current: GatewayConfig, wanted: GatewayConfig) -> GatewayConfig:
    """The wanted settings, with what cannot change now as it is."""
    recording = msgspec.structs.replace(wanted.recording, max_disk_mb=current.recording.max_disk_mb)
    kept = {name: getattr(current, name) for name in UNTIL_RESTART}
    return msgspec.structs.replace(wanted, recording=recording, **kept)
