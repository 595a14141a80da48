"""Keeps the children of a gateway without a project alive. I/O: processes, one thread.

A child that ends is started again after a pause that grows while it keeps ending. Children are started by the one
thread, which lives until `stop`: the kernel tells a child of the death of the thread that made it, not of the process.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from flyball.supervision.restart_policy import Restarts
from flyball.telemetry import log

LOOK_S = 0.1


class ChildKeeper:
    """Some processes by name, each started again when it ends."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts = {name: Restarts() for name in commands}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the children with SIGTERM and wait for them."""
        self._stopping.set()
        self._thread.join()
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()

    def _keep(self) -> None:
        for name in self._commands:
            self._start(name, again=False)
        while not self._stopping.wait(LOOK_S):
            for name in self._commands:
                self._look(name)

    def _look(self, name: str) -> None:
        process, restarts, now = self._running.get(name), self._restarts[name], time.monotonic()
        if process is not None and process.poll() is None:
            restarts.lives(now)
        elif restarts.may_start(now):
            log.warning("%s ended with %s; restarting it", name, process.returncode if process else "an error")
            self._start(name, again=True)

    def _start(self, name: str, *, again: bool) -> None:
        self._restarts[name].starts(time.monotonic(), again=again)
        try:
            self._running[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a ctrl-c is the gateway's affair, which drains first
            )
        except OSError as error:  # no memory or no process to be had: the next look tries again
            log.error("%s could not be started: %s", name, error)
