"""A dataset folder replaced as a whole or not at all. I/O: creates, renames and removes folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyball.errors import EnvironmentMissing


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends well; else `out` stays as it was.

    What a killed run left behind is removed. A kill between the two renames leaves the old folder as `.NAME.old`,
    which the next run puts back first.
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
        if out.exists():
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
