"""An open-loop client: requests leave when they are due, whatever became of those before. I/O: sockets.

Each outcome says whether the answer came whole, and if not, how far it got. Written on asyncio's transports, because a
client that uses more CPU than the gateway would measure itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ANSWER_TIMEOUT_S = 40.0


@dataclass(slots=True)
class Ask:
    """One request to be sent. `leave_after` bytes of the answer the client hangs up."""

    number: int
    kind: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    leave_after: int | None = None
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What became of one request; times are of time.monotonic, `wall_s` of time.time."""

    ask: Ask
    sent_s: float
    wall_s: float
    port: int = 0  # the client's own: tells which worker had it
    connected_s: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    first_s: float = 0.0
    end_s: float = 0.0
    body: bytes = b""
    whole: bool = False
    failure: str = ""  # connect | dropped | cut | left | timeout

    @property
    def acknowledged(self) -> bool:
        """A whole answer that says yes."""
        return self.whole and 200 <= self.status < 300

    @property
    def failed_before_first_byte(self) -> bool:
        """Nothing came, or an error of the serving side came instead of an answer."""
        return self.failure in ("connect", "dropped", "timeout") or self.status >= 500


class Client:
    """Keeps connections to one port; `send` never waits. `spread`: all connections in turn, not as few as suffice."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", spread: bool = False) -> None:
        self.host, self.port, self.spread = host, port, spread
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.pending = 0

    def send(self, ask: Ask, then: Callable[[Outcome], None]) -> None:
        """Send now; `then` is called with the outcome."""
        self.pending += 1
        outcome = Outcome(ask=ask, sent_s=time.monotonic(), wall_s=time.time())

        def told(done: Outcome) -> None:
            self.pending -= 1
            done.end_s = time.monotonic()
            then(done)

        while self.idle:
            connection = self.idle.pop(0 if self.spread else -1)
            if not connection.transport.is_closing():
                connection.begin(outcome, told)
                return
        asyncio.get_running_loop().create_task(self._connect(outcome, told))

    async def open(self, count: int) -> None:
        """Open connections beforehand."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
            self.idle.append(connection)

    async def _connect(self, outcome: Outcome, told: Callable[[Outcome], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
        except OSError:
            outcome.failure = "connect"
            told(outcome)
            return
        connection.begin(outcome, told)

    async def drained(self, timeout_s: float) -> None:
        """Wait for what is in flight; what takes too long ends as a time-out."""
        end = time.monotonic() + timeout_s
        while self.pending and time.monotonic() < end:
            self.sweep()
            await asyncio.sleep(0.05)
        for connection in list(self.busy):
            connection.give_up()

    def sweep(self) -> None:
        """End what waits beyond any patience."""
        now = time.monotonic()
        for connection in list(self.busy):
            if connection.outcome is not None and now - connection.outcome.sent_s > ANSWER_TIMEOUT_S:
                connection.give_up()

    def close(self) -> None:
        for connection in (*self.idle, *self.busy):
            connection.transport.abort()


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.transport: Any = None
        self.outcome: Outcome | None = None
        self.told: Callable[[Outcome], None] = lambda _outcome: None
        self.buffer = bytearray()
        self.body_at = 0
        self.length = -1
        self.port = 0
        self.connected_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        self.connected_s = time.monotonic()

    def begin(self, outcome: Outcome, told: Callable[[Outcome], None]) -> None:
        """Write a request."""
        self.outcome, self.told = outcome, told
        outcome.port, outcome.connected_s = self.port, self.connected_s
        self.buffer.clear()
        self.body_at, self.length = 0, -1
        self.client.busy.add(self)
        ask = outcome.ask
        lines = "".join(f"{name}: {value}\r\n" for name, value in ask.headers)
        head = f"POST {ask.path} HTTP/1.1\r\nhost: localhost\r\n{lines}content-length: {len(ask.body)}\r\n\r\n"
        self.transport.write(head.encode() + ask.body)

    def data_received(self, data: bytes) -> None:
        outcome = self.outcome
        if outcome is None:
            self.transport.abort()
            return
        if not outcome.first_s:
            outcome.first_s = time.monotonic()
        self.buffer += data
        if not self.body_at and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            self._read_head(outcome, bytes(self.buffer[:end]), end + 4)
        if outcome.ask.leave_after is not None and len(self.buffer) >= outcome.ask.leave_after:
            outcome.failure = "left"
            self.transport.abort()
        elif self.body_at and self._whole():
            self._finish(outcome)

    def _read_head(self, outcome: Outcome, head: bytes, body_at: int) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        outcome.status = int(first.split(" ")[1])
        outcome.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body_at = body_at
        length = outcome.headers.get("content-length")
        self.length = int(length) if length is not None else -1

    def _whole(self) -> bool:
        if self.length >= 0:
            return len(self.buffer) >= self.body_at + self.length
        return self.buffer.endswith(b"0\r\n\r\n")

    def _finish(self, outcome: Outcome) -> None:
        outcome.whole, outcome.body = True, bytes(self.buffer[self.body_at :])
        self.outcome = None
        self.client.busy.discard(self)
        if outcome.headers.get("connection") == "close":
            self.transport.abort()
        else:
            self.client.idle.append(self)
        self.told(outcome)

    def connection_lost(self, error: Exception | None) -> None:
        self.client.busy.discard(self)
        outcome, self.outcome = self.outcome, None
        if outcome is None:
            if self in self.client.idle:
                self.client.idle.remove(self)
            return
        if self.body_at:
            outcome.body = bytes(self.buffer[self.body_at :])
        outcome.failure = outcome.failure or ("cut" if outcome.first_s else "dropped")
        self.told(outcome)

    def give_up(self) -> None:
        """End a request that nobody answers."""
        if self.outcome is not None:
            self.outcome.failure = "timeout"
        self.transport.abort()


async def offer(rate: float, *, over: Callable[[], bool], make: Callable[[], None], chance: random.Random) -> None:
    """Call `make` at Poisson times until `over()`; late calls are made up for, never dropped."""
    due = time.monotonic()
    while not over():
        now = time.monotonic()
        while due <= now:
            make()
            due += chance.expovariate(rate)
        await asyncio.sleep(min(max(due - time.monotonic(), 0.0), 0.01))
