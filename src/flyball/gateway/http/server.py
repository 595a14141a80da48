"""The HTTP/1.1 edge: one client connection, parsed by httptools. I/O: sockets.

Bounded by construction: connections, header bytes, body bytes (of one request and of all together), pipelined requests
and the time each may take have limits, and requests of one connection are answered one after the other. When a limit of
all together is reached, who has waited longest without a request, or holds most, makes room: a crowd of idle or slow
clients keeps nobody out. Whatever is ambiguous (two lengths, a length and chunks, an unknown transfer coding) is
refused with 400 and the connection is closed, so that nothing can be smuggled past it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import httptools

from flyball.gateway.http.cors import Origins
from flyball.gateway.http.exchange import STATUS_LINE, ClientConnection, Exchange
from flyball.gateway.http.openai_errors import error_body
from flyball.gateway.http.request_head import SINGLE, Refusal, framing_lines, objection, origin_form, too_large

MAX_HEADER_BYTES: Final = 32_768
MAX_HEADERS: Final = 100
MAX_PIPELINED: Final = 16
HEADER_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 75.0
SEND_TIMEOUT_S = 30.0
LINGER_S: Final = 2.0
MAX_LINGER_BYTES: Final = 8 * 1024 * 1024
MAX_HELD_BYTES: Final = 128 * 1024 * 1024
"""Bodies of all requests that are being read or answered."""
MAX_FRAMING: Final = 10
"""Bytes on the wire per byte of a body in chunks: chunks of one byte are allowed, endless chunk extensions are not."""
PART_BYTES: Final = 64
"""What one piece of a body costs beside its bytes."""
SMALL_PATH: Final = b"/v1/feedback"
SMALL_BODY_BYTES: Final = 786_432
"""What somebody says of an answer: the longest correction and comment, each character in six bytes (\\u1234)."""


class HttpServer:
    """What all connections of one worker share: their handler, their limits and the sweep that enforces times."""

    def __init__(
        self, handler: Callable[[Exchange], None], *, max_body_bytes: int, max_connections: int = 4096
    ) -> None:
        self.handler = handler
        self.max_body_bytes = max_body_bytes
        self.origins = Origins()
        self.max_connections = max_connections
        self.max_held = max(MAX_HELD_BYTES, 4 * max_body_bytes)
        self.connections: set[Connection] = set()
        self.draining = False
        self.refused = 0
        self.held = 0

    def sweep(self) -> None:
        """Close what waits too long; called a few times a second."""
        now = time.monotonic()
        for connection in list(self.connections):
            connection.check(now)

    def has_room(self) -> bool:
        """Whether one more connection may come; where it is crowded, those that waited longest are cut for it."""
        if len(self.connections) < self.max_connections:
            return True
        waiting = sorted((one for one in self.connections if one.current is None), key=lambda one: one.waits_since)
        for connection in waiting[: max(1, self.max_connections // 20)]:
            self.refused += 1
            connection.abort()
            self.connections.discard(connection)
        return bool(waiting)

    def takes(self, connection: Connection, size: int) -> bool:
        """Count memory that a request is about to take; False when that is too much."""
        if self.held + size > self.max_held:
            return False
        self.held += size
        connection.held += size
        return True

    def hold(self, connection: Connection, size: int) -> None:
        """Count bytes of a body that has come; beyond the bound the largest one that is being read is refused."""
        self.held += size
        connection.held += size
        if self.held > self.max_held:
            reading = [one for one in self.connections if one.reading is not None and not one.lingering]
            max(reading, key=lambda one: one.held, default=connection).give_way()

    def drain(self) -> None:
        """From now on every answer says that its connection closes, and then it does."""
        self.draining = True

    @property
    def expecting(self) -> bool:
        """Whether a request may be on its way on one of the connections, or is there in part."""
        return any(connection.is_idle or connection.reading is not None for connection in self.connections)

    @property
    def unsent(self) -> bool:
        """Whether a client has yet to take what was answered."""
        return any(connection.transport.get_write_buffer_size() for connection in self.connections)

    def close_idle(self) -> None:
        """Close connections without a request; the others close after their answer."""
        for connection in [one for one in self.connections if one.is_idle]:
            connection.transport.close()

    def abort(self) -> None:
        """Cut every connection that is left."""
        for connection in list(self.connections):
            connection.abort()


class Connection(ClientConnection):
    """One client's connection: bytes in, Exchanges to the handler one at a time, bytes out."""

    def __init__(self, edge: HttpServer) -> None:
        super().__init__()
        self.edge = edge
        self.parser: Any = None
        self.reading: Exchange | None = None
        self.current: Exchange | None = None
        self.queue: deque[Exchange] = deque()
        self.deadline = 0.0
        self.header_bytes = 0
        self.header_lines = 0
        self.raw_bytes = -1
        self.adopting = False
        self.upgrading = False
        self.refusal: Refusal | None = None
        self.lingering = False
        self.waits_since = 0.0
        self.held = 0
        self.most = edge.max_body_bytes  # of the body that is being read
        self.extra = b""  # header lines of the answer to it

    # transport ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.waits_since = time.monotonic()
        if not self.edge.has_room():
            self.refusal = (503, "the gateway has as many connections as it takes", "overloaded")
            self._send_refusal()
            transport.close()
            return
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        transport.set_write_buffer_limits(high=262_144)
        self.edge.connections.add(self)
        self.deadline = self.waits_since + IDLE_TIMEOUT_S

    def connection_lost(self, error: Exception | None) -> None:
        self.edge.connections.discard(self)
        self._let_go()
        self.queue.clear()
        self.reading = self.parser = None
        if (current := self.current) is not None:
            self.current = None
            current.state = "gone"
            told, current.on_disconnect, current.on_writable = current.on_disconnect, None, None
            if told is not None:
                told()

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            self.raw_bytes += len(data)
            if self.raw_bytes > MAX_LINGER_BYTES:
                self.transport.abort()
            return
        if self.parser is None:
            self.parser = httptools.HttpRequestParser(self)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self.refusal = self.refusal or (400, f"not a valid HTTP request: {error}", "bad_http")
        if self.reading is not None:
            self._count_raw(len(data), self.reading)
        if self.refusal is not None and self.current is None and not self.queue:
            self._send_refusal()
        if len(self.queue) >= 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])

    def _without_upgrade(self, rest: bytes) -> None:
        """Read on in HTTP/1.1 where a client offered another protocol (Java's does): the parser had left the body."""
        exchange = self.reading
        if exchange is None or exchange.method == b"CONNECT":
            self.refusal = self.refusal or (400, "only HTTP/1.1 is supported", "bad_http")
            return
        self.parser, self.adopting = httptools.HttpRequestParser(self), True
        self._feed(b"POST / HTTP/1.1\r\n" + framing_lines(exchange.headers) + b"\r\n" + rest)

    def pause_writing(self) -> None:
        self.blocked_since = time.monotonic()
        if self.current is not None and self.current.on_writable is not None:
            self.current.on_writable(False)

    def resume_writing(self) -> None:
        self.blocked_since = 0.0
        if self.current is not None and self.current.on_writable is not None:
            self.current.on_writable(True)

    # httptools ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.adopting:
            return
        self.header_bytes, self.header_lines, self.raw_bytes = 0, 0, -1
        self.extra = b""
        self.reading = Exchange(self)
        self.reading.headers = {}
        self.deadline = time.monotonic() + HEADER_TIMEOUT_S

    def on_url(self, url: bytes) -> None:
        if self.reading is not None and not self.adopting:
            self.reading.path += url
            self.header_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self.reading
        if exchange is None or self.refusal is not None or self.adopting:
            return
        self.header_bytes += len(name) + len(value) + 4
        self.header_lines += 1
        if self.header_bytes > MAX_HEADER_BYTES or self.header_lines > MAX_HEADERS:
            self._too_large_headers()
            return
        if exchange.started:
            return  # a trailer: counted, never used
        key = name.lower()
        if key in exchange.headers and key in SINGLE:
            self.refusal = (400, f"the header {key.decode('latin-1')} comes twice", "bad_http")
        exchange.headers[key] = value

    def on_headers_complete(self) -> None:
        exchange, adopted, self.adopting = self.reading, self.adopting, False
        if exchange is None or self.refusal is not None or adopted:
            return
        exchange.method = self.parser.get_method()
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self.refusal = (400, f"HTTP/{version} is not supported", "bad_http")
        exchange.modern = version != "1.0"
        self.upgrading = self.parser.should_upgrade()
        exchange.keep_alive = self.parser.should_keep_alive()
        if not exchange.path.startswith(b"/"):
            exchange.path = origin_form(exchange.path)
        exchange.started = time.monotonic()
        self.deadline = exchange.started + BODY_TIMEOUT_S
        self.header_bytes, self.raw_bytes = 0, -1
        self.most = self.edge.max_body_bytes
        if exchange.path.startswith(SMALL_PATH) and self.most > SMALL_BODY_BYTES:
            self.most = SMALL_BODY_BYTES
        if self.edge.origins.on:
            exchange.extra = self.extra = self.edge.origins.lines(exchange.headers)
        self.refusal = self.refusal or objection(exchange, self.most, self.edge.max_body_bytes)
        if self.refusal is None and exchange.headers.get(b"expect", b"").lower() == b"100-continue" and exchange.modern:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        exchange = self.reading
        if exchange is None or self.refusal is not None:
            return
        exchange.size += len(data)
        if exchange.size > self.most:
            exchange.parts.clear()
            self.refusal = too_large(self.most, self.edge.max_body_bytes)
            return
        exchange.parts.append(data)
        self.edge.hold(self, len(data) + PART_BYTES)

    def on_message_complete(self) -> None:
        if self.upgrading:
            self.upgrading = False  # its body, if any, is read by `_without_upgrade`
            return
        exchange, self.reading = self.reading, None
        if exchange is None or self.refusal is not None:
            return
        exchange.body = exchange.parts[0] if len(exchange.parts) == 1 else b"".join(exchange.parts)
        exchange.parts = []
        if self.current is None and not self.queue:
            self._start(exchange)
        elif len(self.queue) < MAX_PIPELINED:
            self.queue.append(exchange)
        else:
            self.refusal = (400, f"more than {MAX_PIPELINED} pipelined requests", "too_many_pipelined")

    # answering ---------------------------------------------------------------------------------------------------

    def takes(self, size: int) -> bool:
        return self.edge.takes(self, size)

    def drains(self) -> bool:
        return self.edge.draining

    def finished(self, *, close: bool) -> None:
        if (answered := self.current) is not None:
            answered.on_disconnect = answered.on_writable = None  # else its answer is kept until garbage is collected
        self.current = None
        if self.held and not self.queue and self.reading is None:
            self._let_go()
        if close:
            self.queue.clear()
            self._linger()
        elif self.queue:
            following = self.queue.popleft()
            if not self.queue and not self.transport.is_closing():
                self.transport.resume_reading()
            self._start(following)
        elif self.refusal is not None:
            self._send_refusal()
        elif self.reading is None:
            self.waits_since = time.monotonic()
            self.deadline = self.waits_since + IDLE_TIMEOUT_S
            if self.edge.draining:
                self.transport.close()

    def check(self, now: float) -> None:
        """Close this connection when its time is over."""
        if self.blocked_since and now - self.blocked_since > SEND_TIMEOUT_S:
            self.transport.abort()  # the client does not read its answer
        elif self.current is None and now > self.deadline:
            if self.reading is None or self.lingering:
                self.transport.abort()
            else:
                self.refusal = (408, "the request did not arrive in time", "request_timeout")
                self._send_refusal()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered, and one may come."""
        taken = self.current or self.reading or self.queue or self.lingering
        return not taken and not self.transport.is_closing()

    def abort(self) -> None:
        """Cut at once."""
        if self.transport is not None:
            self.transport.abort()

    def give_way(self) -> None:
        """Refuse the request that is being read: its body is the largest while all together are too large."""
        if self.reading is not None:
            self.reading.parts.clear()
        self.refusal = self.refusal or (503, "the gateway holds as many bodies as it can", "overloaded")
        if self.current is None and not self.queue:
            self._send_refusal()

    def _let_go(self) -> None:
        self.edge.held -= self.held
        self.held = 0

    def _start(self, exchange: Exchange) -> None:
        exchange.state = "waiting"
        exchange.started = time.monotonic()
        self.current = exchange
        self.edge.handler(exchange)

    def _count_raw(self, size: int, exchange: Exchange) -> None:
        """Bytes of headers, or of what frames a body, that the parser holds back; the first piece is not counted."""
        self.raw_bytes = 0 if self.raw_bytes < 0 else self.raw_bytes + size
        if exchange.started == 0.0:
            if self.raw_bytes > MAX_HEADER_BYTES:
                self._too_large_headers()
        elif self.raw_bytes > MAX_HEADER_BYTES + MAX_FRAMING * exchange.size:
            self.refusal = self.refusal or (400, "the body's chunks are framed by too many bytes", "bad_http")

    def _too_large_headers(self) -> None:
        limit = f"{MAX_HEADER_BYTES} bytes or {MAX_HEADERS} lines"
        self.refusal = self.refusal or (431, f"the headers are larger than {limit}", "headers_too_large")

    def _send_refusal(self) -> None:
        status, message, code = self.refusal or (400, "not a valid HTTP request", "bad_http")
        self.edge.refused += 1
        body = error_body(status, message, code=code)
        head = b"%scontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%b%b\r\n"
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self.write(head % (STATUS_LINE[status], len(body), retry, self.extra) + body)
        self._linger()

    def _linger(self) -> None:
        """Send what is left, then read and forget for a moment: a reset would destroy the answer on its way."""
        self.lingering = True
        self.raw_bytes = 0
        self.reading = None
        self._let_go()
        self.deadline = time.monotonic() + LINGER_S
        if self.transport.is_closing():
            return
        self.transport.write_eof()
        self.transport.resume_reading()
