"""A gateway worker as a process, so that its memory is its own: python edge_process.py FOLDER CONFIG EDGE [FILES].

CONFIG is a GatewayConfig and EDGE overrides constants of the edge, both as JSON; FILES is the limit on open files.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flyball.cost.config import CostConfig
from flyball.gateway.config import GatewayConfig
from flyball.gateway.context import GatewayContext
from flyball.gateway.http import server
from flyball.gateway.worker import run_gateway
from flyball.security.keys import ProjectKey
from flyball.storage.routing import RoutingTable, publish


def main(folder: Path, config: GatewayConfig, constants: dict[str, Any], files: int) -> None:
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    for name, value in constants.items():
        setattr(server, name, value)
    context = GatewayContext(
        config=config,
        cost=CostConfig(),
        project="shop",
        routes_path=folder / "routes.json",
        segments_dir=folder / "segments",
        project_key=ProjectKey(bytes(range(32))),
        ledger=None,
    )
    run_gateway(context, worker=0, on_ready=lambda port: print(port, flush=True))


@dataclass
class EdgeProcess:
    """A running worker."""

    port: int
    pid: int

    @property
    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def connect(self, *, timeout_s: float = 10.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def raw(self, data: bytes, *, timeout_s: float = 5.0) -> bytes:
        """Send bytes; all that comes back until the worker closes or nothing comes for a while."""
        parts = []
        with self.connect(timeout_s=timeout_s) as connection:
            try:
                connection.sendall(data)
                while piece := connection.recv(65536):
                    parts.append(piece)
            except (TimeoutError, ConnectionError):
                pass
        return b"".join(parts)


@contextmanager
def edge_process(
    folder: Path, routes: RoutingTable, *, files: int = 0, constants: dict[str, Any] | None = None, **config: Any
) -> Iterator[EdgeProcess]:
    """A worker with these settings, for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    publish(folder / "routes.json", routes)
    settings = msgspec.json.encode(GatewayConfig(port=0, drain_s=0.5, **config)).decode()
    command = [sys.executable, __file__, str(folder), settings, json.dumps(constants or {}), str(files)]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "gateway.log").read_text()
        yield EdgeProcess(int(line), process.pid)
        assert process.poll() is None, "the worker died: " + (folder / "gateway.log").read_text()
        assert "Traceback" not in (folder / "gateway.log").read_text()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@dataclass
class Bystander:
    """An ordinary client that asks all the while, over new connections, and notes how it was served."""

    port: int
    body: bytes
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Bystander:
        self.thread = threading.Thread(target=self._ask_on)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)

    def _ask_on(self) -> None:
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        while not self.stop.wait(0.02):
            began = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    connection.sendall(head % len(self.body) + self.body)
                    answer = b"".join(iter(lambda: connection.recv(65536), b""))
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if not answer.startswith(b"HTTP/1.1 200 "):
                self.failures.append(answer[:300].decode("latin-1"))
            self.seconds.append(time.monotonic() - began)

    def check(self, *, slowest_s: float = 3.0) -> None:
        """It was always served, and never made to wait long."""
        assert not self.failures, self.failures[:3]
        assert len(self.seconds) >= 5 and max(self.seconds) < slowest_s, sorted(self.seconds)[-5:]


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        msgspec.json.decode(sys.argv[2], type=GatewayConfig),
        json.loads(sys.argv[3]),
        int(sys.argv[4]),
    )
