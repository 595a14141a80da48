"""Files that are replaced whole, and locks that the kernel frees. I/O: files beside those that are named.

A reader sees the old content or the new one, whatever is killed when. Large files that are written piece by piece, and
folders, have ways of their own beside what writes them.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes, *, durable: bool, mode: int = 0o666) -> os.stat_result:
    """Put `data` in the place of `path` in one step; the status of the new file.

    `durable`: it also survives a loss of power once this returns. `mode` is narrowed by the process's umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        beside.replace(path)
    except BaseException:  # ctrl-c too: no half-written file stays behind
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)
    return status


def sync(path: Path) -> None:
    """Have a file that is written, or the names in a folder, on the disk: a rename is there once its folder is."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file, then hold it while the body runs; no child inherits it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
