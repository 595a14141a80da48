"""Processes named by pid and start time, so that a reused pid is never taken for ours. I/O: /proc and signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "FLYBALL_ENGINE"
"""In the environment of what an engine starts: children are told from strangers by it, also with a reused pid."""
_TICKS = os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """This boot of the machine: pids and start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> float | None:
    """Seconds after boot at which `pid` started; None when there is no such process, or only its zombie.

    Counted from boot and not as a date: a step of the system clock would make every engine look like a stranger.
    """
    try:
        fields = _fields(Path(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19]) / _TICKS


def age_s(started: float) -> float:
    """For how long a process that started then has run."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


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


def marked_processes(engine: str) -> list[int]:
    """The processes that carry an engine's mark."""
    mark = f"{MARK}={engine}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # gone meanwhile, or not ours
    return found


def kill_marked(engine: str) -> None:
    """SIGKILL to whatever carries an engine's mark."""
    for pid in marked_processes(engine):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def proportional_bytes(pid: int) -> int:
    """The memory of a process, pages shared by n processes counted as an n-th; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """What a process has done so far, and whether it would do more if it were let."""

    cpu_s: float = 0.0
    faults: int = 0
    eager: bool = False


def work_of(pids: Iterable[int]) -> Work:
    """CPU time and pages read from disk, added up; `eager` when a thread waits for a processor or for the disk."""
    cpu_s, faults, eager = 0.0, 0, False
    for pid in pids:
        try:
            fields = _fields(Path(f"/proc/{pid}/stat"))
            states = {_fields(thread / "stat")[0] for thread in Path(f"/proc/{pid}/task").iterdir()}
        except OSError:
            continue
        cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS
        faults += int(fields[9])
        eager = eager or bool(states & {"R", "D"})
    return Work(cpu_s, faults, eager)


def _fields(path: Path) -> list[str]:
    """What stands in a stat file after the name, which may hold blanks and brackets."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
