"""Keeps the console's process small: it is open all day and works for moments. I/O: settings of this process."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import event

from flyball.storage.ledger import Ledger

SQLITE_CACHE_KIB = 256
"""Per connection, instead of 2 MiB: the operating system caches the file anyway."""
_M_ARENA_MAX = -8  # of glibc's malloc.h


def economise(ledger: Ledger) -> None:
    """Small database caches, and one heap for all threads instead of one each: some 8 MB less once pages were read."""
    if ledger.engine.dialect.name == "sqlite":
        ledger.engine.dispose()  # connections made before have the large cache
        event.listen(ledger.engine, "connect", _small_cache)
    import ctypes  # only here, where a process is set up

    with suppress(AttributeError, OSError):  # another C library than glibc: it only costs memory
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _small_cache(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
