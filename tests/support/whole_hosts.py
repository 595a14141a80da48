"""Whole hosts, as `flyball up` makes them, on one PostgreSQL; a host is a folder with settings, key and artefacts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flyball.storage import traffic
from flyball.wiring import Project, open_project
from served import NAME, Served  # the benchmarks' project of a tiny model


def twin(project: Project, root: Path) -> Project:
    """Another host of the same project: the same settings, key and artefacts, and nothing else."""
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("run", "segments", "logs", "up.log"))
    return open_project(root)


@dataclass
class Clients:
    """They ask one host, and keep what was answered in full."""

    host: Served
    secret: str = "none"
    answered: dict[str, str] = field(default_factory=dict)  # request id → release
    failures: list[str] = field(default_factory=list)

    def ask(self) -> str | None:
        """One request; the release that answered."""
        request = urllib.request.Request(
            f"{self.host.url}/v1/chat/completions",
            data=json.dumps({"model": NAME, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.secret}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()
                release = str(answer.headers["x-flyball-release"])
                self.answered[answer.headers["x-flyball-request-id"]] = release
                return release
        except OSError as error:
            self.failures.append(str(error.read()[:200] if isinstance(error, urllib.error.HTTPError) else error))
            return None

    def answered_by(self, release: str, *, times: int = 8) -> bool:
        """Whether the next requests are all answered by one release."""
        return all(self.ask() == release for _ in range(times))


def kill_all(host: Served) -> None:
    """As when the power goes: every process of the host at once."""
    assert host.up is not None
    processes = [psutil.Process(host.up.pid), *psutil.Process(host.up.pid).children(recursive=True)]
    engines = [engine.pid for engine in host.engines()]
    for pid in {*(process.pid for process in processes), *engines}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    host.up.wait(10)


def recorded(project: Project) -> dict[str, int]:
    """How often each request is in the ledger."""
    counts: dict[str, int] = {}
    for seen in traffic.requests_since(project.ledger, limit=100_000):
        counts[seen.record.id] = counts.get(seen.record.id, 0) + 1
    return counts


def eventually(holds: Callable[[], Any], *, timeout_s: float) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.05)
    return time.monotonic() - began
