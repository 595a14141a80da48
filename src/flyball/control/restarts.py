"""How often a release's engines died in a row, kept so that a restart of control forgets nothing. I/O: a file."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from flyball.supervision.restart_policy import RestartPolicy
from flyball.telemetry import log
from flyball.whole_files import replace_file

POLICY = RestartPolicy(first_s=0.2, longest_s=10.0)


class Count(msgspec.Struct):
    """Deaths in a row of one release's engines, and when (wall clock) the next start may be."""

    in_row: int = 0
    not_before: float = 0.0


class Restarts:
    """Counts by release."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._counts = msgspec.json.decode(path.read_bytes(), type=dict[str, Count])
        except (OSError, msgspec.MsgspecError):
            self._counts = {}

    def in_row(self, release: str) -> int:
        """Deaths since the release was last calm."""
        return self._counts[release].in_row if release in self._counts else 0

    def may_start(self, release: str) -> bool:
        """Whether the pause after the last death is over."""
        count = self._counts.get(release)
        # a clock that was set back must not forbid starts for longer than any pause
        return count is None or not 0 < count.not_before - time.time() <= POLICY.longest_s

    def died(self, release: str) -> int:
        """Count a death and lengthen the pause; the deaths in a row."""
        count = self._counts.setdefault(release, Count())
        count.in_row += 1
        count.not_before = time.time() + POLICY.pause_s(count.in_row)
        self._save()
        return count.in_row

    def calm(self, release: str) -> None:
        """Forget the deaths of a release."""
        if self._counts.pop(release, None) is not None:
            self._save()

    def _save(self) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(self._counts), durable=False)
        except OSError as error:
            log.warning("restart counts are not kept: %s", error)  # a full disk must not stop the pass
