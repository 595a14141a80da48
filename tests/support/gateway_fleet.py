"""Four gateway workers and an ingester as processes on one port, clients that hammer them, and kills in between."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from running_gateway import chat, receive, split

SCRIPT = Path(__file__).with_name("gateway_process.py")
WORKERS = ("0", "1", "2", "3")


class Fleet:
    """Workers that can be killed at random and come back; use as a context."""

    def __init__(self, folder: Path, url: str, *, seed: int = 7) -> None:
        self.folder, self.url = folder, url
        self.kills = 0
        self._chance = random.Random(seed)
        self._probe = socket.socket()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.port = 0

    def __enter__(self) -> Fleet:
        self._probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._probe.bind(("127.0.0.1", 0))  # held, so that nobody else gets this port; never listened on
        self.port = self._probe.getsockname()[1]
        for role in (*WORKERS, "ingester"):
            self._start(role)
        for role in WORKERS:
            self._wait(role)
        return self

    def __exit__(self, *_: object) -> None:
        for role in list(self._running):
            self._end(role, signal.SIGKILL)
        self._probe.close()

    def kill_one(self) -> None:
        """SIGKILL a worker and start it again."""
        role = self._chance.choice(WORKERS)
        self._end(role, signal.SIGKILL)
        self.kills += 1
        self._start(role)
        self._wait(role)

    def drain(self) -> None:
        """End the workers in good order, then the ingester."""
        for role in (*WORKERS, "ingester"):
            if role in self._running:
                self._end(role, signal.SIGTERM if role != "ingester" else signal.SIGKILL)

    def _start(self, role: str) -> None:
        command = [sys.executable, str(SCRIPT), role, str(self.folder), self.url, str(self.port)]
        self._running[role] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _wait(self, role: str) -> None:
        assert self._running[role].stdout.readline().strip().isdigit()  # type: ignore[union-attr]

    def _end(self, role: str, number: int) -> None:
        process = self._running.pop(role)
        process.send_signal(number)
        process.wait(20)
        process.stdout.close()  # type: ignore[union-attr]


class Clients:
    """Threads that ask over fresh connections, without pause; answers by status, and requests without an answer."""

    def __init__(self, port: int, secrets: list[str], *, threads: int = 8, **fields: Any) -> None:
        self.answers: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.unanswered = 0
        self.last_ok = time.monotonic()
        self._port, self._fields = port, fields
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(secrets[n % len(secrets)],), daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, secret: str) -> None:
        body = json.dumps(chat(**self._fields)).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        head += f"content-length: {len(body)}\r\n"
        request = f"{head}authorization: Bearer {secret}\r\n\r\n".encode() + body
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
                    connection.sendall(request)
                    status, _, document = split(receive(connection))
            except (OSError, ValueError, IndexError):
                with self._lock:
                    self.unanswered += 1
                time.sleep(0.01)
                continue
            with self._lock:
                self.answers[status] += 1
                if status == 200:
                    self.last_ok = time.monotonic()
                else:
                    self.codes[document["error"]["code"]] += 1
            if status == 429:
                time.sleep(0.005)
