"""What engines say: bounded on disk, and quoted where one fails. I/O: log files."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

LAST_LINES = 12
MAX_BYTES = 8_000_000
MAX_LOGS = 40
_READ_BYTES = 65_536
_LONGEST = 400
_CAUSE = re.compile(r"(?:^|\] +)([\w.]+(?:Error|Exception): .+)")
"""An exception as Python ends a traceback, also behind the prefix of a logger."""


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
    """The end of a log, for a message; of one engine alone when it is named. Empty when there is none.

    A server of several processes names the cause in one of them and ends another with "see above": so the first
    exception of the named engine comes before the last lines.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    begin = f"engine {engine} for release"
    known = bool(engine) and begin in text
    if known:  # what an earlier engine of the release said is not this one's
        text = text[text.index(begin) :]
    lines = [line for line in text.splitlines() if line.strip()]
    quoted = lines[-LAST_LINES:]
    cause = next((found[1] for line in lines if (found := _CAUSE.search(line))), None)
    if known and cause is not None and not any(cause in line for line in quoted):
        quoted = [cause, "…", *quoted[2:]]
    return "".join(f"\n    {line[:_LONGEST]}" for line in quoted)
