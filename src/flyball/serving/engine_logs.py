"""What engines say: bounded on disk, and quoted where one fails. I/O: log files."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

LAST_LINES = 12
MAX_BYTES = 8_000_000
MAX_LOGS = 40
_QUOTED_BYTES = 4000


def bound(log: Path) -> None:
    """Move a long log aside and begin it anew; appending goes on at its new end."""
    try:
        if log.stat().st_size > MAX_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
    except OSError:
        return  # a full disk or a removed folder is no reason to stop serving


def prune(folder: Path) -> None:
    """Keep the logs that were written last: each release has its own, and there are ever more releases."""
    with suppress(OSError):
        logs = sorted(folder.glob("engine-*.log*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in logs[MAX_LOGS:]:
            path.unlink(missing_ok=True)


def last_lines(log: Path, engine: str = "") -> str:
    """The end of a log, for a message; of one engine alone when it is named. Empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _QUOTED_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    if engine and f"engine {engine}" in text:  # what an earlier engine of the release said is not this one's
        text = text[text.index(f"engine {engine}") :]
    lines = text.splitlines()
    return "".join(f"\n    {line}" for line in lines[-LAST_LINES:] if line.strip())
