"""The upstream client: a pool of kept-alive connections per endpoint, one call (call.py) on each. I/O: sockets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

import httptools

from flyball.errors import FlyballError
from flyball.gateway.upstream.call import Call, EngineConnection, OpenCalls, UpstreamFailure
from flyball.gateway.upstream.connector import Connector
from flyball.gateway.upstream.destinations import Destination
from flyball.gateway.upstream.failure_causes import connect_words
from flyball.inference.decompression import KNOWN, Decoder
from flyball.storage.routing import Endpoint

IDLE_S: Final = 3.0  # engines close idle connections after 5 s; a little earlier is safe
OLD_S: Final = 120.0
"""A connection that is never idle ends after so long, because the name may lead elsewhere by now."""
LOOK_S: Final = 1.0
MAX_HEADER_BYTES: Final = 65_536
MAX_ID_BYTES: Final = 256


class UpstreamConnection(EngineConnection):
    """One connection to an engine."""

    def __init__(self, client: EndpointClient) -> None:
        super().__init__()
        self.client = client
        self.parser: Any = None
        self.header_bytes = 0
        self.used = 0
        self.idle_since = 0.0
        self.made = time.monotonic()
        self.closing = False
        self.encoding = b""
        self.framed = False
        self.whole = False
        self.more = False
        self.between_chunks = False  # the parser has read a chunk to its end and nothing of the next

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def start(self, call: Call, request: bytes) -> None:
        """Send a request and let `call` have the answer."""
        self.parser = httptools.HttpResponseParser(self)
        self.call = call
        self.used += 1
        self.header_bytes = 0
        self.encoding = b""
        self.framed = self.whole = self.more = self.between_chunks = False
        call.connection = self
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.parser is None:
            self.transport.abort()  # bytes that nobody asked for
            return
        if (call := self.call) is not None:
            if self.between_chunks and call.relay is not None and call.relay.chunk(data):
                return  # the parser need not know
            call.touched = True
        try:
            self.parser.feed_data(data)
            self.between_chunks = self.between_chunks and data.endswith(b"\r\n")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if call is not None:
                call.flush()
                call.fail("malformed", f"the engine's answer is not HTTP: {error}")
            self.transport.abort()
            return
        if call is not None and call.parts:
            call.flush()
        if self.whole:
            self._settle()
        elif call is not None and not call.status:
            self._count_head(call, len(data))

    def _settle(self) -> None:
        """The answer is whole and all that came has been read: keep the connection, unless more came than was asked."""
        self.whole = False
        if self.more:
            self.transport.abort()
        elif self.closing:
            self.transport.close()
        else:
            self.client.keep(self)

    def _count_head(self, call: Call, size: int) -> None:
        """Bytes before the answer's headers are complete: a header or interim answers without end stop here."""
        self.header_bytes += size
        if self.header_bytes > MAX_HEADER_BYTES:
            call.fail("malformed", "the engine's headers are larger than 64 KiB")

    def connection_lost(self, error: Exception | None) -> None:
        self.client.forget(self)
        call, self.call = self.call, None
        self.parser = None
        if call is None or call.ended:
            return
        call.connection = None
        if error is None and call.status and not self.framed:
            call.framed = False
            call.complete()  # an answer without a length ends with its connection
            return
        stale = self.used > 1 and not call.touched
        call.fail("dropped", f"the engine closed the connection: {error or 'end of file'}", stale=stale)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.header_bytes += len(name) + len(value)
        if self.call is None:
            return
        if self.header_bytes > MAX_HEADER_BYTES:
            self.call.fail("malformed", "the engine's headers are larger than 64 KiB")
            return
        if self.call.status:
            return  # a trailer: counted, never used
        key = name.lower()
        if key == b"content-type":
            self.call.content_type = value
        elif key == b"retry-after":
            self.call.retry_after = value.decode("latin-1").strip()[:64]
        elif key == b"retry-after-ms":
            self.call.retry_after_ms = value.decode("latin-1").strip()[:64]
        elif key == b"x-request-id":
            self.call.request_id = value[:MAX_ID_BYTES]
        elif key == b"content-length" or key == b"transfer-encoding":
            self.framed = True
        elif key == b"content-encoding":
            self.encoding = b"%b,%b" % (self.encoding, value.lower())

    def _compressed(self, call: Call, encoding: bytes) -> None:
        """An answer that is compressed although nobody asked for it: read, where the standard library can."""
        encoding = b", ".join(part for word in encoding.split(b",") if (part := word.strip()) not in (b"identity", b""))
        if encoding in KNOWN:
            call.decoder = Decoder()
        elif encoding:
            call.fail("malformed", f"the engine's answer is compressed ({encoding[:40]!r}), which nobody asked for")

    def on_message_begin(self) -> None:
        self.more = self.whole

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        call = self.call
        if call is not None and status < 200:
            self.framed, self.encoding = False, b""
            call.forget_head()
        elif call is not None:
            call.status = status
            if self.encoding:
                self._compressed(call, self.encoding)
            call.stream = call.status == 200 and call.content_type.startswith(b"text/event-stream")
            call.heard()
        self.closing = not self.parser.should_keep_alive()

    def on_chunk_header(self) -> None:
        self.between_chunks = False

    def on_chunk_complete(self) -> None:
        self.between_chunks = True

    def on_body(self, data: bytes) -> None:
        if (call := self.call) is not None:
            call.feed(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() < 200:
            return  # 100 Continue, 103 Early Hints: the answer is still to come
        call = self.call
        if call is not None:
            call.flush()
        self.call = None
        self.client.ending.pop(self, None)
        self.whole = True
        if call is not None:
            call.connection = None
            call.complete()


class EndpointClient(OpenCalls):
    """The pool of one endpoint and its load; kept as long as the endpoint is in the table or has calls."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_timeout_s: float,
        secrets: Callable[[str], str] | None = None,
        proxy_for: Callable[[str], str | None] | None = None,
    ) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.destination = Destination(endpoint, secrets=secrets, proxy_for=proxy_for)
        self.destination.tls()  # whatever is wrong with its files is said now
        self.uncounted: set[str] = set()  # models whose streams are not asked to count their tokens (dialects.py)
        self._connector = Connector(self.destination.target)
        self._connect_timeout_s = connect_timeout_s
        self._look_at = 0.0
        self.idle: list[UpstreamConnection] = []
        self.active = 0
        self.trouble = ""  # why the last attempt to connect came to nothing
        self.hungry: dict[Any, None] = {}
        """Queues of models that wait for a slot here, in turn (load_balancer.py)."""

    async def send(self, path: bytes, body: bytes, *, more: bytes = b"", fresh: bool = False) -> Call:
        """Start a call; UpstreamFailure("connect") when no connection can be made.

        `more`: further lines of its head. `fresh`: on a new connection.
        """
        connection = None if fresh else self._pooled()
        if connection is None:
            loop = asyncio.get_running_loop()
            connection = await loop.create_task(self._connect(loop))
            if connection.transport.is_closing():
                words = "the connection was closed before anything was sent"
                raise UpstreamFailure("connect", f"{self.endpoint.id}: {words}", cause=words)
        call = Call(self)
        self.calls.add(call)
        head = self.destination.head(path)
        connection.start(call, b"%b%bcontent-length: %d\r\n\r\n%b" % (head, more, len(body), body))
        return call

    def keep(self, connection: UpstreamConnection) -> None:
        """Take a connection back for the next call."""
        connection.parser = None
        connection.idle_since = now = time.monotonic()
        if now - connection.made > OLD_S:
            connection.transport.close()
            return
        connection.transport.resume_reading()
        self.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self.ending.pop(connection, None)
        if connection in self.idle:
            self.idle.remove(connection)

    def renewed(self) -> bool:
        """Look for a new key now; whether there is one."""
        if not self.destination.renewed():
            return False
        self._connector = Connector(self.destination.target)
        return True

    def sweep(self, now: float) -> None:
        """Fail calls that are over their time, close connections that idle too long, look for a new key."""
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            self.renewed()
        for call in [call for call in self.calls if call.deadline and now > call.deadline]:
            call.fail(call.deadline_kind, f"the engine exceeded its {call.deadline_kind} time")
        for call in [call for call in self.calls if call.comments]:
            call.show(now)
        for connection in [connection for connection, until in self.ending.items() if now > until]:
            connection.transport.abort()  # it said [DONE] but does not end
        while self.idle and now - self.idle[0].idle_since > IDLE_S:
            self.idle.pop(0).transport.close()

    def close(self) -> None:
        """Close idle connections."""
        while self.idle:
            self.idle.pop().transport.close()

    def _pooled(self) -> UpstreamConnection | None:
        now = time.monotonic()
        while self.idle:
            connection = self.idle.pop()
            if now - connection.idle_since < IDLE_S and not connection.transport.is_closing():
                return connection
            connection.transport.close()
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                protocol = await self._connector.connect(lambda: UpstreamConnection(self), self.destination.tls())
        except (OSError, UnicodeError) as error:
            self.trouble = words = connect_words(error, host=self._connector.host, timeout_s=self._connect_timeout_s)
            lasting = isinstance(error, ssl.SSLError)  # nor does its certificate become better by waiting
            raise UpstreamFailure("connect", f"{self.endpoint.id}: {words}", cause=words, lasting=lasting) from error
        except FlyballError as error:  # its certificates cannot be read any more
            self.trouble = words = error.message
            raise UpstreamFailure("connect", f"{self.endpoint.id}: {words}", cause=words, lasting=True) from error
        except UpstreamFailure as failure:
            self.trouble = str(failure)
            raise
        self.trouble = ""
        assert isinstance(protocol, UpstreamConnection)
        return protocol
