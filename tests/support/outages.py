"""A PostgreSQL server of a test's own that it may stop and start, and processes of the gateway that live through it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psycopg

PROCESS = Path(__file__).with_name("gateway_process.py")


def _shared() -> ModuleType:
    """tests/conftest.py, which knows how to start a server (this folder has a conftest.py too)."""
    spec = importlib.util.spec_from_file_location("shared_conftest", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Database:
    """One server with one empty database."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    shared: ModuleType

    def stop(self) -> None:
        """As `pg_ctl stop -m fast` does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def start(self) -> None:
        """The same server again, with what it had."""
        user = "nobody" if os.getuid() == 0 else None
        self.process = subprocess.Popen(self.process.args, user=user, cwd=self.folder, stderr=subprocess.DEVNULL)
        self.shared._wait_for_port(self.process, self.folder)


@contextmanager
def database() -> Iterator[Database]:
    """A server for as long as the block lasts."""
    shared, programs = _shared(), sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    folder = Path(tempfile.mkdtemp(prefix="flyball-pg-"))
    server = shared._start_server(programs[-1].parent, folder)
    made = Database("", folder, server, shared)
    try:
        url = f"postgresql://flyball@127.0.0.1:{shared._wait_for_port(server, folder)}"
        with psycopg.connect(f"{url}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE flyball")
        made.url = f"{url}/flyball"
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[int, dict[str, subprocess.Popen[bytes]]]]:
    """A gateway worker and an ingester as processes; the worker's port, and both by name."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for role in ("0", "ingester"):
            with (folder / f"{role}.log").open("wb") as log:
                command = [sys.executable, str(PROCESS), role, str(folder), url, "0"]
                running[role] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        out = running["0"].stdout
        assert out is not None
        line = out.readline()
        assert line, (folder / "0.log").read_text()
        yield int(line), running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
