"""A double of the kubelet: runs the containers of rendered pods as processes, with their commands and environment.

Where this user may (root in a machine of its own), each container has process ids of its own, no capability, and a
read-only file system but for its volume and /tmp; elsewhere it is a plain process in the same folder. Containers of a
pod share one network, as in a cluster; pods share it too, so each needs a port of its own.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from flyball.serving.engine_processes import running_engines, stop_engine

Document = dict[str, Any]
OWN = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec")
MOUNTS = """
mount --bind /tmp /tmp
mount --bind "$1" "$1"
mount --bind "$2" "$1/.flyball"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
cd "$1"
shift 2
exec setpriv --bounding-set -all --inh-caps -all --no-new-privs "$@"
"""
IMAGE = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}
"""As in the Dockerfile."""


@cache
def can_isolate() -> bool:
    """Whether this user may make namespaces and mounts."""
    if os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    done = subprocess.run([*OWN, "mount --bind /tmp /tmp", "sh"], stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode == 0


def secrets_of(documents: Iterable[Document], **others: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Every Secret by its name: those that the chart makes, and others that are there."""
    made = {
        one["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
        for one in documents
        if one["kind"] == "Secret"
    }
    return {**made, **others}


def environment_of(container: Document, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The variables of a container: references resolved, $(NAME) filled in from those before."""
    found: dict[str, str] = {}
    for variable in container["env"]:
        if "value" in variable:
            value = variable["value"]
            for name, known in found.items():
                value = value.replace(f"$({name})", known)
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            value = secrets[reference["name"]][reference["key"]]
        found[variable["name"]] = value
    return found


@dataclass
class Pod:
    """The folder of a pod's volumes, and its containers while they run."""

    folder: Path
    spec: Document
    settings: str
    secrets: Mapping[str, Mapping[str, str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("project/.flyball", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "project/flyball.yaml").write_text(self.settings)

    @property
    def state(self) -> Path:
        """What is mounted at .flyball."""
        return self.folder / ("state" if can_isolate() else "project/.flyball")

    def container(self, name: str) -> Document:
        """A container of the pod by its name."""
        every = [*self.spec.get("initContainers", ()), *self.spec["containers"]]
        return next(one for one in every if one["name"] == name)

    def start(self, name: str) -> None:
        """Start a container; what it says goes to a file beside its volume."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._command(self.container(name)["command"]), env=self._environment(name), **self._apart(log)
            )

    def run(self, name: str, command: list[str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a container to its end, or in it another command, as an exec probe."""
        return subprocess.run(
            self._command(command or self.container(name)["command"]),
            env=self._environment(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            cwd=self.folder / "project",
        )

    def end(self, name: str, *, grace_s: float = 30) -> int:
        """Ask a container to end, as before its grace period; its exit code."""
        process = self.processes[name]
        os.kill(self._first(process), signal.SIGTERM)
        code = process.wait(grace_s)
        del self.processes[name]
        return code

    def pause(self, name: str, *, go_on: bool = False) -> None:
        """Have a container stand still, or go on."""
        os.kill(self._first(self.processes[name]), signal.SIGCONT if go_on else signal.SIGSTOP)

    def kill(self) -> None:
        """End all that still runs, and engines, which outlive control where it has no process ids of its own."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()
        for engine in [] if can_isolate() else running_engines(self.state / "run"):
            stop_engine(engine, grace_s=2.0)

    def log(self, name: str) -> str:
        """What a container has said."""
        return (self.folder / f"{name}.log").read_text()

    def _first(self, process: subprocess.Popen[bytes]) -> int:
        """The container's first process, which is process 1 inside."""
        if not can_isolate():
            return process.pid
        end = time.monotonic() + 10
        while not (found := psutil.Process(process.pid).children()):
            assert time.monotonic() < end
            time.sleep(0.01)
        return found[0].pid

    def _command(self, command: list[str]) -> list[str]:
        if not can_isolate():
            return command
        return [*OWN, MOUNTS, "sh", str(self.folder / "project"), str(self.folder / "state"), *command]

    def _environment(self, name: str) -> dict[str, str]:
        own = environment_of(self.container(name), self.secrets)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**IMAGE, "PATH": path, **own}

    def _apart(self, log: Any) -> dict[str, Any]:
        folder = self.folder / "project"
        return {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True, "cwd": folder}
