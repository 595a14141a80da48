"""One build at a time in one project. I/O: a lock file that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flyball.errors import LockedError


def holder_of(path: Path) -> int | None:
    """The process that holds the lock; None where nobody does."""
    try:
        with path.open("r", encoding="ascii") as file:
            holder = int(file.read().strip() or 0)
            os.kill(holder, 0)  # one that is gone holds nothing, and the lock is not touched for it
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return holder
    except (OSError, ValueError):
        return None
    return None


@contextmanager
def only_one(path: Path, *, what: str, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock while the body runs; a second holder waits and says for whom, or gets a LockedError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "?"
                if not wait:
                    raise LockedError(
                        f"{what} runs in this project already (process {holder})", cure="wait for it, or end it"
                    ) from None
                if not told:
                    say(f"waiting: {what} runs in this project already (process {holder})")
                    told = True
                time.sleep(0.2)
        os.set_inheritable(file.fileno(), True)  # a child that is given it holds the lock for as long as it lives
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
