"""Sends requests when they are due, whatever became of those before. I/O: sockets, in the running event loop.

No request waits for another: one that finds no idle connection gets a new one. httptools reads HTTP; there is no task
and no future per request, so one core sends thousands a second.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from typing import Any, Final

import httptools

from flyball.addresses import Target
from flyball.evaluation.load.exchange import Exchange
from flyball.evaluation.load.outcomes import Recording
from flyball.evaluation.load.planned_requests import Planned

SWEEP_S: Final = 0.05
MOST_FILES: Final = 65_536
_FILES_KEPT: Final = 64
"""Open files that are not connections."""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.transport: Any = None
        self.exchange: Exchange | None = None
        self.parser: Any = None
        self.used = 0
        self.framed = self.is_stream = self.heard = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.sender.open += 1
        self.sender.recording.connections += 1

    def start(self, exchange: Exchange) -> None:
        """Write a request."""
        self.exchange, exchange.connection = exchange, self
        self.parser = httptools.HttpResponseParser(self)
        self.used += 1
        self.framed = self.is_stream = self.heard = False
        self.transport.write(self.sender.head % len(exchange.body) + exchange.body)

    def data_received(self, data: bytes) -> None:
        if self.exchange is None:
            self.transport.abort()  # bytes that nobody asked for
            return
        self.heard = True
        self.sender.now = time.monotonic()
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.exchange is not None:
                self.exchange.wrong("malformed", f"not HTTP: {error}")
                self.sender.ended(self.exchange)
            self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        if key == b"content-type":
            self.is_stream = value.startswith(b"text/event-stream")
        elif key in (b"content-length", b"transfer-encoding"):
            self.framed = True

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if self.exchange is not None and status >= 200:
            self.exchange.head(status, is_stream=self.is_stream)

    def on_body(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.feed(data, self.sender.now)

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if exchange is None or self.parser.get_status_code() < 200:
            return  # 100 Continue: the answer is still to come
        exchange.complete(self.sender.now)
        self.exchange = None
        self.sender.in_flight.pop(exchange, None)
        if self.parser.should_keep_alive():
            self.sender.idle.append(self)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        sender, exchange = self.sender, self.exchange
        sender.open -= 1
        self.exchange = None
        if exchange is None:
            if self in sender.idle:
                sender.idle.remove(self)
            return
        if not self.heard and self.used > 1:
            sender.connect(exchange)  # closed while idle, as servers may: asked once more, the time runs on
        elif not self.heard:
            exchange.wrong("dropped", f"the server closed the connection: {error or 'end of file'}")
            sender.ended(exchange)
        elif error is None and exchange.status and not self.framed:
            sender.in_flight.pop(exchange, None)
            exchange.complete(time.monotonic())  # an answer without a length ends with its connection
        else:
            exchange.wrong("truncated", f"the connection ended within the answer: {error or 'end of file'}")
            sender.ended(exchange)


class Sender:
    """The connections to one server and what is under way on them."""

    def __init__(
        self, target: Target, address: str, *, tls: ssl.SSLContext | None, recording: Recording, timeout_s: float
    ) -> None:
        self.target, self.address, self.tls = target, address, tls
        self.recording, self.timeout_s = recording, timeout_s
        self.idle: list[Connection] = []
        self.in_flight: dict[Exchange, None] = {}
        self.open = self.sent = 0
        self.now = 0.0
        self.most_open = open_files() - _FILES_KEPT
        self.tasks: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self.head = request_head(target)
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)

    def send(self, planned: Planned, due: float) -> None:
        """Send a request that was due then."""
        exchange = Exchange(self.recording, planned, due=due, deadline=due + self.timeout_s)
        self.sent += 1
        self.in_flight[exchange] = None
        exchange.sent = time.monotonic()
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                connection.start(exchange)
                return
        self.connect(exchange)

    def connect(self, exchange: Exchange) -> None:
        """Send a request on a new connection."""
        if self.open + len(self.tasks) >= self.most_open:
            exchange.wrong("sender_limit", f"this process may open no more than {self.most_open} connections")
            self.ended(exchange)
            return
        task = self.loop.create_task(self._connect(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self, exchange: Exchange) -> None:
        name = self.target.host if self.tls else None
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), self.address, self.target.port, ssl=self.tls, server_hostname=name
            )
        except OSError as error:
            exchange.wrong("connect", str(error))
            self.ended(exchange)
            return
        if exchange in self.in_flight:
            connection.start(exchange)
        else:
            self.idle.append(connection)

    def ended(self, exchange: Exchange) -> None:
        """A request has failed."""
        if exchange in self.in_flight:
            del self.in_flight[exchange]
            exchange.ended(time.monotonic())
        if (connection := exchange.connection) is not None:
            connection.exchange = None

    def _sweep(self) -> None:
        """End what is over its time; the oldest stands first, all have the same patience."""
        now = time.monotonic()
        for exchange in list(self.in_flight):
            if now < exchange.deadline:
                break
            self.give_up(exchange, "timeout", f"no whole answer within {self.timeout_s:g} s")
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)

    def give_up(self, exchange: Exchange, kind: str, said: str) -> None:
        """End a request without its answer."""
        connection = exchange.connection
        exchange.wrong(kind, said)
        self.ended(exchange)
        if connection is not None:
            connection.transport.abort()

    async def close(self) -> None:
        """End everything that is open."""
        self._sweeping.cancel()
        for exchange in list(self.in_flight):
            self.give_up(exchange, "unfinished", "the run was ended before the answer came")
        for task in list(self.tasks):
            task.cancel()
        for connection in list(self.idle):
            connection.transport.abort()
        await asyncio.sleep(0)


def open_files() -> int:
    """How many files this process may open; raised as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if wanted > soft >= 0:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
    return wanted


def request_head(target: Target) -> bytes:
    """The lines before a request's body, with a place for its length."""
    lines = [f"POST {target.place('/chat/completions')} HTTP/1.1", f"host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in target.headers]
    head = "\r\n".join([*lines, "content-type: application/json", "content-length: "]).encode()
    return head.replace(b"%", b"%%") + b"%d\r\n\r\n"
