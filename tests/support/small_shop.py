"""A project small enough to build in seconds, driven through the command line as a user drives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.data.samples.tickets import write_tickets

FLYBALL = [sys.executable, "-m", "flyball"]
SMALL = (
    "steps: 120\n  threads: 1\n  size: {layers: 2, hidden: 64, heads: 2, kv_heads: 2, feed_forward: 128, "
    "vocabulary: 800, context: 128}"
)


@dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def flyball(*arguments: str, cwd: Path, timeout_s: float = 240, environment: dict[str, str] | None = None) -> Result:
    """Run one command."""
    done = subprocess.run(
        [*FLYBALL, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(environment or {})},
    )
    return Result(done.returncode, done.stdout, done.stderr)


def ok(*arguments: str, cwd: Path, timeout_s: float = 240) -> Any:
    """Run one command with --json that must succeed; its result."""
    result = flyball(*arguments, "--json", cwd=cwd, timeout_s=timeout_s)
    assert result.code == 0, f"flyball {' '.join(arguments)}: {result.code}\n{result.out}\n{result.err}"
    return result.json


def ok_lines(*arguments: str, cwd: Path) -> list[Any]:
    """Run one command that gives JSON Lines and must succeed; its rows."""
    result = flyball(*arguments, "--json", cwd=cwd)
    assert result.code == 0, f"flyball {' '.join(arguments)}: {result.code}\n{result.out}\n{result.err}"
    return [json.loads(line) for line in result.out.splitlines()]


def make_small_shop(folder: Path, *, rows: int = 700) -> Path:
    """A new project over generated tickets with a tiny model and a low gate."""
    root = folder / "shop"
    made = flyball("init", str(root), cwd=folder)
    assert made.code == 0, made.err
    write_tickets(root / "tickets.jsonl", rows=rows)
    settings = (root / "flyball.yaml").read_text()
    settings = settings.replace("steps: 400", SMALL).replace("at_least: 0.6", "at_least: 0.05")
    (root / "flyball.yaml").write_text(settings)
    return root


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """`flyball up` on free ports; its URLs, once the gateway answers."""
    log = (root / "up.log").open("wb")
    process = subprocess.Popen(
        [*FLYBALL, "up", "--port", "0", "--console-port", "0", "--json", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (root / "up.log").read_text()
        yield json.loads(line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        log.close()


def eventually(probe: Callable[[], Any], *, timeout_s: float = 30.0) -> Any:
    """What `probe` gives once it gives something."""
    deadline = time.monotonic() + timeout_s
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{probe} gave nothing within {timeout_s} s"
        time.sleep(0.1)
    return found
