"""Whose a tracked run is: a killed process leaves none that looks alive for ever. I/O: /proc, git."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil

OWNER = "flyball.process"
"""The tag that names host, process id and start time of whoever writes a run."""
COMMIT = "mlflow.source.git.commit"
CHANGED = "flyball.git_changed"


def owner() -> str:
    """This process, as the tag says it."""
    return _named(psutil.Process())


def end_abandoned(client: Any, experiment: str) -> list[str]:
    """Mark the runs of this host whose process is gone as KILLED; their ids. Runs of other hosts are left alone."""
    ended = []
    for run in client.search_runs([experiment], filter_string="attributes.status = 'RUNNING'", max_results=1000):
        host, _, rest = str(run.data.tags.get(OWNER, "")).partition(" ")
        if host == socket.gethostname() and not _is_alive(rest):
            client.set_terminated(run.info.run_id, "KILLED")
            ended.append(run.info.run_id)
    return ended


def git_state() -> Iterator[tuple[str, str]]:
    """The tags that say which commit is checked out here, and whether files differ from it; none outside git."""
    with suppress(OSError, subprocess.SubprocessError):
        yield COMMIT, _git("rev-parse", "HEAD")
        yield CHANGED, "yes" if _git("status", "--porcelain", "--untracked-files=no") else "no"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _is_alive(named: str) -> bool:
    pid = named.partition(" ")[0]
    with suppress(psutil.Error, ValueError):
        return _named(psutil.Process(int(pid))).partition(" ")[2] == named
    return False


def _named(process: psutil.Process) -> str:
    return f"{socket.gethostname()} {process.pid} {process.create_time():.2f}"
