"""Processes named by pid and start time, so that a reused pid is never taken for ours. I/O: /proc and signals."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """This boot of the machine: pids and start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> float | None:
    """Seconds after boot at which `pid` started; None when there is no such process, or only its zombie.

    Counted from boot and not as a date: a step of the system clock would make every engine look like a stranger.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19]) / _TICKS


def is_running(pid: int, started: float) -> bool:
    """Whether `pid` is still the process that started then."""
    return start_time(pid) == started


def end_process(pid: int, started: float, *, grace_s: float) -> bool:
    """SIGTERM, then after `grace_s` SIGKILL, each only while pid and start time match; True when it is gone."""
    _signal(pid, started, signal.SIGTERM)
    if _gone_within(pid, started, grace_s):
        return True
    _signal(pid, started, signal.SIGKILL)
    return _gone_within(pid, started, 5.0)


def ask_to_end(pid: int, started: float) -> None:
    """SIGTERM without waiting."""
    _signal(pid, started, signal.SIGTERM)


def kill_process(pid: int, started: float) -> None:
    """SIGKILL without waiting."""
    _signal(pid, started, signal.SIGKILL)


def _signal(pid: int, started: float, number: signal.Signals) -> None:
    try:
        descriptor = os.pidfd_open(pid)  # holds on to this very process while we compare
    except OSError:
        return
    try:
        if is_running(pid, started):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _gone_within(pid: int, started: float, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid, started):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
