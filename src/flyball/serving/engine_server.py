"""The process around one engine: starts it, says where it listens, ends it in order. I/O: processes, sockets, files.

Run as `python -m flyball.serving.engine_server SPEC` with an EngineSpec as JSON. It detaches at once: the process that
was started writes the engine's file and ends, the engine stays, whatever becomes of who started it. It ends when it is
told to (SIGTERM: after the requests in flight), when it outgrows its memory, or when its owner is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from flyball.serving import engine_files
from flyball.serving.engine_logs import bound
from flyball.serving.engine_spec import EngineSpec
from flyball.serving.processes import boot_id, is_running, start_time

_FIRST_TICK_S, _TICK_S = 0.02, 0.25
_FIRST_TO_GO = 500
"""Added to its score when the kernel runs out of memory: an engine is started again, a gateway's requests are lost."""


class Engine(Protocol):
    """What runs inside or beneath this process: the built-in engine, or a server of its own."""

    def url(self) -> str:
        """Where it listens; empty before it does."""
        ...

    def ended(self) -> str:
        """Why it is over by itself; empty while it runs."""
        ...

    def resident_bytes(self) -> int:
        """The memory that it holds."""
        ...

    def is_busy(self) -> bool:
        """Whether it has requests in work or waiting."""
        ...

    def end(self, *, at_once: bool) -> None:
        """End what this process's own end would not."""
        ...


def main(arguments: list[str]) -> int:
    """Detach, serve until told to end; the exit status only ever reaches init."""
    spec = msgspec.json.decode(arguments[0], type=EngineSpec)
    pid = os.fork()
    if pid:
        _announce(spec, pid)
        return 0
    os.setsid()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c in a terminal is for the supervisor
    _step_back()
    return _serve(spec, stop)


def _announce(spec: EngineSpec, pid: int) -> None:
    started = start_time(pid)
    if started is not None:
        engine_files.write_new(Path(spec.file), _file(spec, pid, started, url=""))


def _file(spec: EngineSpec, pid: int, started: float, *, url: str) -> engine_files.EngineFile:
    return engine_files.EngineFile(
        id=spec.id,
        release=spec.release,
        kind=spec.kind,
        model=spec.model,
        pid=pid,
        started=started,
        boot=boot_id(),
        url=url,
        log=spec.log,
        slots=spec.slots,
        owner=str(spec.owner_pid) if spec.owner_pid else "control",
    )


def _step_back() -> None:
    """Under pressure the gateway goes first: it answers many, an engine one slot at a time."""
    os.nice(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO), encoding="ascii")


def _serve(spec: EngineSpec, stop: threading.Event) -> int:
    _announce(spec, os.getpid())  # the other side does it too: whichever of the two is killed, the file is there
    print(f"engine {spec.id} for release {spec.release} loads {spec.model}", flush=True)
    try:
        engine = start(spec)
    except (RuntimeError, OSError) as error:
        print(f"engine {spec.id}: {error}", flush=True)
        return 1
    reason = _watch(spec, engine, stop)
    if reason:
        print(f"engine {spec.id} ends: {reason}", flush=True)
        engine.end(at_once=True)
        os._exit(3)  # not through the server's own end, which would wait for what made it outgrow its memory
    while engine.is_busy():  # whoever sent SIGTERM sets the limit by sending SIGKILL
        time.sleep(0.02)
    time.sleep(0.05)  # the last bytes leave the socket
    engine.end(at_once=False)
    print(f"engine {spec.id} ends: it was told to", flush=True)
    Path(spec.file).unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(0)  # the requests are done; tearing the model down would only take time


def start(spec: EngineSpec) -> Engine:
    """Start what the spec asks for; RuntimeError or OSError when that fails at once."""
    if spec.command:
        from flyball.serving.command_engine import CommandEngine

        return CommandEngine(spec)
    from flyball.serving.embedded_engine import (
        EmbeddedEngine,  # loads its library: only the process that serves needs it
    )

    return EmbeddedEngine(spec)


def _watch(spec: EngineSpec, engine: Engine, stop: threading.Event) -> str:
    """Wait for the end; the reason when it is not SIGTERM."""
    listens = False
    while True:
        if not listens and (url := engine.url()):
            pid, listens = os.getpid(), True
            engine_files.write(Path(spec.file), _file(spec, pid, start_time(pid) or 0.0, url=url))
            print(f"engine {spec.id} listens on {url}", flush=True)
        reason = engine.ended() or _outlived(spec) or _outgrown(spec, engine)
        if reason:
            return reason
        bound(Path(spec.log))
        if stop.wait(_TICK_S if listens else _FIRST_TICK_S):
            return ""


def _outlived(spec: EngineSpec) -> str:
    gone = spec.owner_pid and not is_running(spec.owner_pid, spec.owner_started)
    return f"its owner {spec.owner_pid} is gone" if gone else ""


def _outgrown(spec: EngineSpec, engine: Engine) -> str:
    if not spec.memory_limit_mb:
        return ""
    resident_mb = engine.resident_bytes() / 1_048_576
    if resident_mb <= spec.memory_limit_mb:
        return ""
    return f"it uses {resident_mb:.0f} MB of memory, serving.memory_limit_mb is {spec.memory_limit_mb}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
