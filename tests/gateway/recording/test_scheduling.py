"""An ingester is interrupted by what answers."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ITSELF = """
import os, pathlib
from flyball.gateway.recording.scheduling import give_way
give_way()
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) == os.SCHED_OTHER)
print(pathlib.Path("/proc/self/sched").read_text())
"""


def slice_of(sched: str) -> int | None:
    """Nanoseconds, as /proc/PID/sched tells them; None where the kernel does not."""
    found = re.search(r"^se\.slice\s*:\s*(\d+)", sched, re.MULTILINE)
    return int(found[1]) if found else None


def test_a_process_that_gives_way_is_nicer_and_has_the_longest_slice_but_is_no_idle_one() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    said = subprocess.run([sys.executable, "-c", ITSELF], check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[0] == f"{min(mine + 5, 19)} True", "of the normal class, which is never starved"
    found = slice_of(said)
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if found is None or release < (6, 12):
        pytest.skip(f"Linux {platform.release()} has, or shows, no slices")
    assert found == 100_000_000


def test_where_the_kernel_refuses_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from flyball.gateway.recording import scheduling

    monkeypatch.setattr(os, "nice", lambda _more: 0)
    monkeypatch.setattr(scheduling, "_SCHED_SETATTR", {platform.machine(): 99_999})  # no such call
    before = Path("/proc/self/sched").read_text()
    scheduling.give_way()
    assert slice_of(Path("/proc/self/sched").read_text()) == slice_of(before)
