"""A real Prometheus and a real Alertmanager on loopback ports; where they are not installed tests are skipped."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flyball.supervision.ports import any_port


def program(name: str) -> str:
    """The path of an installed program."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install prometheus prometheus-alertmanager")
    return found


@contextmanager
def running(command: list[str], ready: str) -> Iterator[None]:
    """A server, from its first answer on `ready` until the end of the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(ready), 30, f"{command[0]} never answered")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Until it holds; fails with `what` after so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@contextmanager
def prometheus(config: Path, storage: Path) -> Iterator[str]:
    """Its URL."""
    port = any_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={storage}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running([program("prometheus"), *arguments], f"{url}/-/ready"):
        yield url


def query(url: str, expr: str) -> list[dict[str, Any]]:
    """The samples of an expression now; an expression that is none fails the test."""
    asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    with urllib.request.urlopen(asked, timeout=10) as answer:
        document = json.load(answer)
    result: list[dict[str, Any]] = document["data"]["result"]
    return result


@contextmanager
def exposition(text: str) -> Iterator[int]:
    """A double: the port of a server whose /metrics is this text."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            return None

    with served(Page) as port:
        yield port


@contextmanager
def webhook() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The port of a receiver of alerts, and what it received."""
    received: list[dict[str, Any]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            received.append({"path": self.path, **json.loads(self.rfile.read(length))})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    with served(Receiver) as port:
        yield port, received


@contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a threaded server of this handler."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
