"""A dataset folder replaced as a whole or not at all. I/O: creates, exchanges and removes folders."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyball.errors import EnvironmentMissing

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2)."""


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends well; else `out` stays as it was.

    The two change places in one step, so that there is a whole folder at every moment, also under kill -9; what a
    killed run left behind is removed. Where the file system cannot exchange, the old one is `.NAME.old` for a moment,
    and the next run puts it back first.
    """
    partial, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not out.exists():
            old.rename(out)
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
        yield partial
        if not out.exists():
            partial.rename(out)
        elif not _exchange(partial, out):
            out.rename(old)
            partial.rename(out)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot write {out}: {error.strerror or error}",
            cure="check the folder's mode and the free space on its disk",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at once; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
