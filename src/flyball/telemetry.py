"""Logs and progress on standard error: I/O: stderr only, so that standard output stays for results."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

log = logging.getLogger("flyball")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Bounds of the buckets of every histogram of times: an objective on a time is one of them."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, how many there are; 0 when unknown)."""


def configure_logging(*, level: str = "INFO") -> None:
    """One line per event on standard error, with UTC time and the process's name."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s[%(process)d] %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False


def quiet(_what: str, _done: int, _total: int) -> None:
    """A Progress that shows nothing."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Log a stage's name when it begins, and its seconds when it ends."""
    began = time.monotonic()
    log.info("%s …", name)
    yield
    log.info("%s done in %.1f s", name, time.monotonic() - began)


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in megabytes (Linux `VmHWM`)."""
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def sample_line(name: str, labels: Sequence[str], values: Sequence[str], value: float, fixed: str = "") -> str:
    """One sample in Prometheus' text format; `fixed` labels come last, and counts keep each of their digits."""
    pairs = [f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True)]
    every = ",".join([*pairs, fixed] if fixed else pairs)
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{every}}} {number}" if every else f"{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
