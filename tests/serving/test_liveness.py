"""A stalled engine is found without traffic; a busy one is left alone, however slow."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.liveness import EngineBusy, look_at
from flyball.serving.processes import start_time, work_of
from tiny_gguf import tiny_release, write_tiny_gguf

RELEASE = tiny_release()
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
SILENT_SERVER = """import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineHandle]:
    handle = engine_processes.start_engine(
        RELEASE,
        release_name="a" * 64,
        artifact=write_tiny_gguf(tmp_path / "model.gguf"),
        run_dir=tmp_path,
        log_dir=tmp_path,
        config=ServingConfig(),
    )
    yield engine_processes.wait_ready(handle, RELEASE, timeout_s=30)
    engine_processes.stop_engine(handle, grace_s=0.1)


@contextmanager
def silent_server(what_it_does: str) -> Iterator[EngineHandle]:
    """A process that takes connections and never answers."""
    with subprocess.Popen([sys.executable, "-c", f"{SILENT_SERVER} {what_it_does}"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        started = start_time(process.pid) or 0.0
        try:
            yield EngineHandle(id="x", release="r", url=url, pid=process.pid, started=started, log=Path("x"))
        finally:
            process.kill()


@contextmanager
def frozen_main_loop(pid: int) -> Iterator[None]:
    """Hold the one thread that has used the processor most: the one that decodes."""
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    thread = max((one for one in threads if one != pid), key=lambda one: work_of_thread(pid, one))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_SEIZE, thread, None, None):
        pytest.skip("this user may not trace processes")
    libc.ptrace(PTRACE_INTERRUPT, thread, None, None)
    time.sleep(0.2)
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, thread, None, None)


def states(pid: int) -> list[str]:
    stats = [(path / "stat").read_text() for path in Path(f"/proc/{pid}/task").iterdir()]
    return [text.rpartition(")")[2].split()[0] for text in stats]


def work_of_thread(pid: int, thread: int) -> int:
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])


def test_an_idle_engine_answers_its_look_and_says_its_load(engine: EngineHandle) -> None:
    load = look_at(engine)
    assert (load.running, load.waiting) == (0, 0)


def test_a_stopped_engine_gives_no_sign_and_does_no_work(engine: EngineHandle) -> None:
    os.kill(engine.pid, signal.SIGSTOP)
    while any(state != "T" for state in states(engine.pid)):  # each thread stops when it is next let run
        time.sleep(0.01)
    try:
        with pytest.raises(TimeoutError):
            look_at(engine)
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    look_at(engine)


def test_an_engine_whose_main_loop_hangs_says_that_it_is_healthy_and_is_found_all_the_same(
    engine: EngineHandle,
) -> None:
    with frozen_main_loop(engine.pid):
        with urllib.request.urlopen(f"{engine.url}/health", timeout=5) as answer:
            assert answer.status == 200
        with pytest.raises(TimeoutError):
            look_at(engine)
    look_at(engine)


def test_one_that_works_without_answering_is_busy_and_one_that_sleeps_is_not() -> None:
    with silent_server("pass") as busy, pytest.raises(EngineBusy):
        look_at(busy)
    with silent_server("time.sleep(0.01)") as sleeping:
        assert not all(seems_busy(sleeping) for _ in range(5)), "once: it may wait for a processor when it is looked at"


def seems_busy(handle: EngineHandle) -> bool:
    try:
        look_at(handle)
    except EngineBusy:
        return True
    except TimeoutError:
        return False
    raise AssertionError("a server that never answers gave a sign of life")


def test_a_dead_process_has_done_nothing() -> None:
    assert work_of([2**22 + 1]).cpu_s == 0.0
