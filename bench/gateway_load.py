"""The load of bench/gateway.py, in a process of its own: plain sockets, microsecond timers, nothing parsed twice.

    python bench/gateway_load.py JOB.json      prints {"latencies_ms", "errors", "unanswered", "seconds"}

Closed loop: each connection sends its next request when the last is answered. Open loop: Poisson arrivals at a rate,
whatever happens to the earlier ones; a latency counts from the moment at which the request was due, so that waiting for
a stalled server is part of it (no coordinated omission). I/O: loopback sockets.
"""

from __future__ import annotations

import ctypes
import json
import random
import re
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

MAX_CONNECTIONS = 900  # select() knows 1,024 descriptors
MAX_WAITING = 4_000
PATIENCE_S = 15.0
PR_SET_TIMERSLACK = 29
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Connection:
    """One connection and the answer that it waits for."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self.head = b""
        self.left = -1
        self.tail = b""

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due then."""
        self.due, self.head, self.left, self.tail = due, b"", -1, b""
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request did not fit into the socket's buffer")

    def receive(self) -> bool | None:
        """True when the answer is whole and a 200, False when it is anything else, None while it is coming."""
        data = self.socket.recv(262_144)
        if not data:
            return False
        if self.left < 0 and not self.tail:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return None
            length = _LENGTH.search(self.head, 0, end)
            data = self.head[end + 4 :]
            if length is not None:
                self.left = int(length[1])
        if self.left >= 0:
            self.left -= len(data)
            return self._good() if self.left <= 0 else None
        self.tail = (self.tail + data)[-5:] or b"-"
        return self._good() if self.tail == b"0\r\n\r\n" else None

    def _good(self) -> bool:
        return self.head.startswith(b"HTTP/1.1 200")


class Load:
    """One job."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.port = job["port"]
        self.requests = [request.encode() for request in job["requests"]]
        self.idle = [Connection(self.port) for _ in range(job["connections"])]
        self.busy: dict[socket.socket, Connection] = {}
        self.latencies: list[float] = []
        self.errors = 0
        self.sent = 0

    def start(self, due: float) -> bool:
        """Send the next request, on a new connection if need be; False when there are too many already."""
        if not self.idle and len(self.busy) >= MAX_CONNECTIONS:
            return False
        connection = self.idle.pop() if self.idle else Connection(self.port)
        connection.send(self.requests[self.sent % len(self.requests)], due)
        self.sent += 1
        self.busy[connection.socket] = connection
        return True

    def collect(self, timeout_s: float) -> None:
        """Read whatever has come within a time."""
        readable, _, _ = select.select(list(self.busy), (), (), max(timeout_s, 0.0))
        for ready in readable:
            connection = self.busy[ready]
            try:
                good = connection.receive()
            except OSError:
                good = False
            if good is None:
                continue
            del self.busy[ready]
            if good:
                self.latencies.append((time.perf_counter() - connection.due) * 1000)
                self.idle.append(connection)
            else:
                self.errors += 1
                connection.socket.close()

    def closed(self, total: int) -> None:
        """`total` requests, as many at once as there are connections."""
        while self.sent < total or self.busy:
            while self.idle and self.sent < total:
                self.start(time.perf_counter())
            if not self.busy:
                return
            self.collect(PATIENCE_S)

    def opened(self, rate: float, seconds: float, seed: int) -> int:
        """Poisson arrivals for a time; how many requests were given up, because the server did not keep up."""
        draw, waiting = random.Random(seed), deque[float]()
        begin = time.perf_counter()
        end, due = begin + seconds, begin + draw.expovariate(rate)
        while time.perf_counter() < end + PATIENCE_S:
            now = time.perf_counter()
            while due <= now and due < end:
                waiting.append(due)
                due += draw.expovariate(rate)
            while waiting and self.start(waiting[0]):
                waiting.popleft()
            if len(waiting) > MAX_WAITING or (due >= end and not self.busy and not waiting):
                break
            self.collect(min(due - time.perf_counter(), 0.1) if due < end else 0.1)
        return len(waiting) + len(self.busy)


def main(job: dict[str, Any]) -> None:
    """Run a job and print what came of it."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    load = Load(job)
    began, unanswered = time.perf_counter(), 0
    if "rate" in job:
        unanswered = load.opened(job["rate"], job["seconds"], job["seed"])
    else:
        load.closed(job["total"])
    seconds = time.perf_counter() - began
    result = {"errors": load.errors, "unanswered": unanswered, "seconds": seconds, "latencies_ms": load.latencies}
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
