"""One engine as a process of its own: llama.cpp's HTTP server on a free port of 127.0.0.1. I/O: sockets, files.

Run as `python -m flyball.serving.engine_server SPEC` with an EngineSpec as JSON. It detaches at once: the process that
was started writes the engine's file and ends, the engine stays, whatever becomes of who started it. It ends when it is
told to (SIGTERM: after the requests in flight), when it outgrows its memory, or when its owner is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from flyball.serving import engine_files
from flyball.serving.processes import boot_id, is_running, start_time

_TICK_S = 0.25
_MAX_LOG_BYTES = 8_000_000
_BATCH = 512


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that an engine process needs to know."""

    id: str
    release: str
    model: str
    file: str
    log: str
    context: int
    slots: int
    threads: int
    memory_limit_mb: int | None = None
    owner_pid: int | None = None  # the engine ends with this process
    owner_started: float = 0.0


def main(arguments: list[str]) -> int:
    """Detach, serve until told to end; the exit status only ever reaches init."""
    spec = msgspec.json.decode(arguments[0], type=EngineSpec)
    pid = os.fork()
    if pid:
        _announce(spec, pid)
        return 0
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c in a terminal is for the supervisor
    _set_thread_limits()
    return _serve(spec, stop)


def _announce(spec: EngineSpec, pid: int) -> None:
    started = start_time(pid)
    if started is not None:
        engine_files.write_new(Path(spec.file), _file(spec, pid, started, url=""))


def _file(spec: EngineSpec, pid: int, started: float, *, url: str) -> engine_files.EngineFile:
    return engine_files.EngineFile(
        id=spec.id,
        release=spec.release,
        pid=pid,
        started=started,
        boot=boot_id(),
        url=url,
        log=spec.log,
        slots=spec.slots,
        owner=str(spec.owner_pid) if spec.owner_pid else "control",
    )


def _set_thread_limits() -> None:
    os.nice(1)  # under pressure the gateway goes first: it answers many, an engine one slot at a time


def _serve(spec: EngineSpec, stop: threading.Event) -> int:
    _announce(spec, os.getpid())  # the other side does it too: whichever of the two is killed, the file is there
    import xllamacpp  # loaded only in the process that serves

    print(f"engine {spec.id} for release {spec.release} loads {spec.model}", flush=True)
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, spec))
    except RuntimeError as error:
        print(f"engine {spec.id}: {error}", flush=True)
        return 1
    url = str(server.listening_address)
    engine_files.write(Path(spec.file), _file(spec, os.getpid(), start_time(os.getpid()) or 0.0, url=url))
    print(f"engine {spec.id} listens on {url}", flush=True)
    reason = _watch(spec, stop)
    if reason:
        print(f"engine {spec.id} ends: {reason}", flush=True)
        os._exit(3)  # not through the server's own end, which would wait for what made it outgrow its memory
    _drain(server)
    print(f"engine {spec.id} ends: it was told to", flush=True)
    Path(spec.file).unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(0)  # the requests are done; tearing the model down would only take time


def _parameters(xllamacpp: Any, spec: EngineSpec) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = spec.model
    parameters.n_parallel = spec.slots
    parameters.n_ctx = spec.context * spec.slots
    parameters.n_batch = parameters.n_ubatch = _BATCH
    parameters.cpuparams.n_threads = spec.threads
    parameters.cpuparams_batch.n_threads = spec.threads
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # the system's choice: no race for ports
    parameters.endpoint_metrics = True  # answered by the main loop, so it tells a stalled engine from a busy one
    parameters.ui = False
    parameters.offline = True
    parameters.fit_params = False  # the release says the context; it is not to be made to fit
    parameters.cache_ram_mib = 0  # the default keeps up to 8 GB of old prompts
    parameters.verbosity = 1  # errors only: a line per request would fill the disk
    return parameters


def _watch(spec: EngineSpec, stop: threading.Event) -> str:
    """Wait for the end; the reason when it is not SIGTERM."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not stop.wait(_TICK_S):
        if spec.owner_pid and not is_running(spec.owner_pid, spec.owner_started):
            return f"its owner {spec.owner_pid} is gone"
        resident_mb = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page / 1_048_576
        if spec.memory_limit_mb and resident_mb > spec.memory_limit_mb:
            return f"it uses {resident_mb:.0f} MB of memory, serving.memory_limit_mb is {spec.memory_limit_mb}"
        _bound_log(Path(spec.log))
    return ""


def _bound_log(log: Path) -> None:
    """Move a long log aside and begin it anew; appending goes on at its new end."""
    try:
        if log.stat().st_size > _MAX_LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
    except OSError:
        return  # a full disk or a removed folder is no reason to stop serving


def _drain(server: Any) -> None:
    """Wait until no request is in work; whoever sent SIGTERM sets the limit by sending SIGKILL."""
    while True:
        lines = str(server.handle_metrics()).splitlines()
        counts = [float(line.split()[1]) for line in lines if line.startswith("llamacpp:requests_")]
        if not any(counts):
            time.sleep(0.05)  # the last bytes leave the socket
            return
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
