"""An engine that is a server of its own, a child of this process on a free port. I/O: processes, HTTP."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from contextlib import suppress

from flyball.engines.kind import PORT
from flyball.serving.engine_spec import EngineSpec
from flyball.serving.load import load_of
from flyball.serving.processes import MARK, kill_marked, marked_processes, proportional_bytes
from flyball.supervision.parent_death import end_with_parent
from flyball.supervision.ports import any_port

_HOST = "127.0.0.1"
_ASK_S = 2.0
_MEASURE_S = 1.0
_END_S = 10.0


class CommandEngine:
    """The child and all that it starts, told by a mark in their environment."""

    def __init__(self, spec: EngineSpec) -> None:
        self._id, self._ready = spec.id, spec.ready
        self._port = any_port()
        self._listens = False
        self._measured, self._resident = 0.0, 0
        command = [part.replace(PORT, str(self._port)) for part in spec.command]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,  # its output goes where ours goes: the engine's log
            env={**spec.environment, **os.environ, MARK: spec.id},
            preexec_fn=end_with_parent,  # it must not outlive the process that watches over it
        )

    def url(self) -> str:
        """Where it listens, once it says that it is healthy."""
        if not self._listens:
            self._listens = _status(self._port, self._ready) == 200
        return f"http://{_HOST}:{self._port}" if self._listens else ""

    def ended(self) -> str:
        """That the child ended, with its status."""
        status = self._child.poll()
        return "" if status is None else f"its server ended with {status}"

    def resident_bytes(self) -> int:
        """The memory of all its processes, what they share counted once; looked up once a second."""
        now = time.monotonic()
        if now - self._measured >= _MEASURE_S:
            self._measured = now
            self._resident = sum(proportional_bytes(pid) for pid in marked_processes(self._id))
        return self._resident

    def is_busy(self) -> bool:
        """Whether it says that requests are in work or wait; one that does not answer has none that we could save."""
        try:
            load = load_of(_HOST, self._port, timeout_s=_ASK_S)
        except OSError:
            return False
        return load.running + load.waiting > 0

    def end(self, *, at_once: bool) -> None:
        """SIGTERM and a while, then SIGKILL to whatever is left of it."""
        if not at_once and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_END_S)
        kill_marked(self._id)


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(_HOST, port, timeout=_ASK_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
