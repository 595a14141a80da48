"""Keeps the children of a gateway without a project alive. I/O: processes, one thread.

A child that ends is started again after a pause that grows while it keeps ending. Children are started by the one
thread, which lives until `stop`: the kernel tells a child of the death of the thread that made it, not of the process.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from flyball.telemetry import log

FIRST_PAUSE_S, LONGEST_PAUSE_S, CALM_S = 0.1, 5.0, 10.0
LOOK_S = 0.1


class ChildKeeper:
    """Some processes by name, each started again when it ends."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._began = dict.fromkeys(commands, 0.0)
        self._pauses = dict.fromkeys(commands, FIRST_PAUSE_S)
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
            self._start(name)
        while not self._stopping.wait(LOOK_S):
            for name in self._commands:
                self._look(name)

    def _look(self, name: str) -> None:
        process, age = self._running.get(name), time.monotonic() - self._began[name]
        if process is not None and process.poll() is None:
            if age > CALM_S:
                self._pauses[name] = FIRST_PAUSE_S
        elif age >= self._pauses[name]:
            self._pauses[name] = min(self._pauses[name] * 2, LONGEST_PAUSE_S)
            log.warning("%s ended with %s; restarting it", name, process.returncode if process else "an error")
            self._start(name)

    def _start(self, name: str) -> None:
        self._began[name] = time.monotonic()
        try:
            self._running[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a ctrl-c is the gateway's affair, which drains first
            )
        except OSError as error:  # no memory or no process to be had: the next look tries again
            log.error("%s could not be started: %s", name, error)
