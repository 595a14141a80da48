"""The demo's hands: runs `flyball` as a user would, measures each step, and says what failed. I/O: processes, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

FLYBALL = [sys.executable, "-m", "flyball"]


class StepFailed(AssertionError):
    """An outcome of the story that did not come about."""


def expect(condition: object, what: str) -> None:
    """Fail loudly unless the outcome is there."""
    if not condition:
        raise StepFailed(what)


@dataclass
class Shop:
    """A project folder and the commands run in it."""

    root: Path
    served: subprocess.Popen[bytes] | None = None
    gateway: str = ""
    console: str = ""

    def flyball(self, *arguments: str, exit_code: int = 0, cwd: Path | None = None) -> Any:
        """Run a command with --json; its result. Any other exit code than the expected one fails the step."""
        done = subprocess.run(
            [*FLYBALL, *arguments, "--json"], cwd=cwd or self.root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        expect(
            done.returncode == exit_code,
            f"flyball {' '.join(arguments)}: exit code {done.returncode}, expected {exit_code}\n{done.stdout.decode()}",
        )
        lines = done.stdout.decode().splitlines()
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return parsed[0] if len(parsed) == 1 and len(lines) == 1 else parsed

    def up(self) -> None:
        """Start `flyball up` on free ports and wait until the gateway answers."""
        log = (self.root / "up.log").open("wb")
        self.served = subprocess.Popen(
            [*FLYBALL, "up", "--port", "0", "--console-port", "0", "--json"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert self.served.stdout is not None
        line = self.served.stdout.readline()
        expect(line, f"flyball up did not start; see {self.root / 'up.log'}")
        found = json.loads(line)
        self.gateway, self.console = found["gateway"], found["console"]

    def down(self) -> None:
        """End `flyball up` as ctrl-c does."""
        if self.served is None or self.served.poll() is not None:
            return
        self.served.send_signal(signal.SIGINT)
        try:
            self.served.wait(40)
        except subprocess.TimeoutExpired:
            self.served.kill()

    def wait_for(self, what: str, probe: Callable[[], Any], *, timeout_s: float = 60.0) -> Any:
        """Poll until `probe` gives something; the step fails when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = probe()
            if found:
                return found
            time.sleep(0.2)
        raise StepFailed(f"{what} did not happen within {timeout_s:.0f} s")

    def deployment(self, identifier: str) -> dict[str, Any]:
        """One deployment with its transitions."""
        rows = self.flyball("deploy", "history", "--limit", "50")
        rows = rows if isinstance(rows, list) else [rows]
        return next(row for row in rows if row["id"] == identifier)


@dataclass
class Step:
    """One step of the story, measured."""

    name: str
    seconds: float = 0.0
    peak_mb: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def measured(steps: list[Step], name: str) -> Iterator[Step]:
    """Time a step and watch the memory of this process and all below it."""
    step = Step(name)
    done = threading.Event()
    watcher = threading.Thread(target=watch_memory, args=(step, done), daemon=True)
    began = time.monotonic()
    print(f"\n▶ {name}", file=sys.stderr, flush=True)
    watcher.start()
    try:
        yield step
    finally:
        done.set()
        watcher.join()
        step.seconds = time.monotonic() - began
    steps.append(step)
    facts = "  ".join(f"{key} {value}" for key, value in step.facts.items())
    print(f"✔ {name}: {step.seconds:.1f} s, {step.peak_mb:.0f} MB  {facts}", file=sys.stderr, flush=True)


def watch_memory(step: Step, done: threading.Event) -> None:
    me = psutil.Process(os.getpid())
    while not done.wait(0.3):
        step.peak_mb = max(step.peak_mb, tree_memory_mb(me))


def tree_memory_mb(root: psutil.Process) -> float:
    """Proportional memory of a process and all below it (shared pages counted once), in MB."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return total
