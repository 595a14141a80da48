"""A worker's lock: a file that it keeps locked while it lives. I/O: one file per worker beside its segments.

The kernel lets go of the lock when the process dies, however it dies; so the ingester knows that no more segments will
come from it, and settles what it owes (cost/settlement.py). Segments end in the name of their worker.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from flyball.telemetry import log

SUFFIX = ".worker"


class WorkerLock:
    """Holds the file of one worker; a worker that cannot make one lives on, and its leases expire in full."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / (name + SUFFIX)
        self._fd = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new = folder / f".{name}.new"
            self._fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            new.rename(self._path)  # appears locked
        except OSError as error:
            log.error("no worker lock in %s: %s", folder, error)

    def cut(self) -> None:
        """Remove the file: this worker's records do not say all that it spent, and must not be taken for it."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """The worker has ended in good order; the process that finds the file settles what is left."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def dead_workers(folder: Path) -> list[str]:
    """Names of workers that have ended and all of whose segments were taken in, oldest first."""
    if not folder.is_dir():
        return []
    pending = {worker_of(path) for path in folder.glob("*.seg")}
    names = sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))
    dead = [name for name in names if name not in pending and _is_free(folder / (name + SUFFIX))]
    after = {worker_of(path) for path in folder.glob("*.seg")} if dead else set()  # it may have written since
    return [name for name in dead if name not in after]


def worker_of(segment: Path) -> str:
    """The name of the worker that wrote a segment: what stands behind the segment's own id."""
    return segment.stem[37:]


def forget(folder: Path, name: str) -> None:
    """Remove the lock of a worker that is settled."""
    with contextlib.suppress(OSError):
        (folder / (name + SUFFIX)).unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
