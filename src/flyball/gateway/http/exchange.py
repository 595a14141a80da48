"""One HTTP request and the means to answer it, whole or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flyball.gateway.http.openai_errors import JSON_TYPE

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
STATUS_LINE = {number: b"HTTP/1.1 %d %s\r\n" % (number, _PHRASES.get(number, b"")) for number in range(100, 1000)}
"""Servers have statuses of their own: 529 is Anthropic's, 520 to 527 are Cloudflare's."""
_EMPTY: dict[bytes, bytes] = {}


class ClientConnection(asyncio.Protocol):
    """What an exchange needs of the connection that it came on: http/server.py fills what is only declared here.

    A base class, so that compiled code calls it directly and neither file imports the other in a circle.
    """

    def __init__(self) -> None:
        self.transport: Any = None
        self.blocked_since = 0.0  # since when the client reads too slowly; 0: it does not
        self.peer = ""
        self.caller: tuple[bytes, int, Any] | None = None  # who called before: see Access.principal

    def write(self, data: bytes) -> None:
        """Bytes to the client, unless it has gone."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def takes(self, size: int) -> bool:
        """Count memory that the request is about to take; False when that is too much."""
        raise NotImplementedError

    def drains(self) -> bool:
        """Whether the server stops, so that answers say that their connection closes."""
        raise NotImplementedError

    def finished(self, *, close: bool) -> None:
        """The current exchange is answered: close, or go on with the next."""
        raise NotImplementedError


class Exchange:
    """One request and the means to answer it."""

    __slots__ = (
        "body",
        "connection",
        "extra",
        "headers",
        "keep_alive",
        "method",
        "modern",
        "on_disconnect",
        "on_writable",
        "parts",
        "path",
        "size",
        "started",
        "state",
        "translate",
    )

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.method = b""
        self.path = b""
        self.headers: dict[bytes, bytes] = _EMPTY
        self.extra = b""  # header lines of whatever is answered
        self.parts: list[bytes] = []
        self.body = b""
        self.size = 0
        self.keep_alive = True
        self.modern = True  # HTTP/1.1: chunks may be sent
        self.started = 0.0
        self.state = "reading"  # reading | waiting | streaming | answered | gone
        self.on_disconnect: Callable[[], object] | None = None
        self.on_writable: Callable[[bool], None] | None = None
        self.translate: Callable[[int, bytes], bytes] | None = None  # a whole answer in another protocol

    def text(self, name: bytes) -> str | None:
        """A request header as text; None when it is missing or empty."""
        value = self.headers.get(name)
        return value.decode("latin-1").strip() or None if value else None

    @property
    def blocked(self) -> bool:
        """Whether the client reads too slowly for more to be sent now."""
        return self.connection.blocked_since > 0

    def hold(self, size: int) -> bool:
        """Count memory that the request takes beside its body; False when there is no room for it."""
        return self.connection.takes(size)

    def answer(self, status: int, body: bytes, *, kind: bytes = JSON_TYPE, headers: bytes = b"") -> None:
        """Send a whole answer; `headers` are complete lines."""
        if self.state != "waiting":
            return
        if self.translate is not None:
            body = self.translate(status, body)
        keep = self._keeps()
        head = b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s%s\r\n" % (
            STATUS_LINE[status],
            kind,
            len(body),
            headers,
            self.extra,
            b"" if keep else b"connection: close\r\n",
        )
        self.state = "answered"
        self.connection.write(head if self.method == b"HEAD" else head + body)
        self.connection.finished(close=not keep)

    def confirm(self, headers: bytes) -> None:
        """204: yes, with nothing to say but headers."""
        if self.state != "waiting":
            return
        keep = self._keeps()
        close = b"" if keep else b"connection: close\r\n"
        self.state = "answered"
        self.connection.write(b"%s%s%s%s\r\n" % (STATUS_LINE[204], headers, self.extra, close))
        self.connection.finished(close=not keep)

    def begin(self, status: int, *, kind: bytes, headers: bytes = b"") -> None:
        """Send the head of a streamed answer."""
        if self.state != "waiting":
            return
        framing = b"transfer-encoding: chunked\r\n" if self.modern else b""
        close = b"" if self._keeps() and self.modern else b"connection: close\r\n"
        self.state = "streaming"
        self.connection.write(
            b"%scontent-type: %s\r\ncache-control: no-cache\r\n%s%s%s%s\r\n"
            % (STATUS_LINE[status], kind, framing, headers, self.extra, close)
        )

    def send(self, data: bytes) -> None:
        """Send a piece of a streamed answer."""
        if self.state == "streaming" and data:
            self.connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self.modern else data)

    def relay(self, chunk: bytes) -> None:
        """Send a piece of a streamed answer that is framed as a chunk already."""
        if self.state == "streaming" and not (transport := self.connection.transport).is_closing():
            transport.write(chunk)

    def end(self, data: bytes = b"") -> None:
        """Send the last piece of a streamed answer and its end mark in one write."""
        if self.state != "streaming":
            return
        self.state = "answered"
        if self.modern:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self.connection.write(data)
        self.connection.finished(close=not (self._keeps() and self.modern))

    def cut(self, data: bytes = b"") -> None:
        """Break a streamed answer off without its end mark, so that no client takes it for whole."""
        self.send(data)
        self.state = "answered"
        self.connection.finished(close=True)

    def _keeps(self) -> bool:
        return self.keep_alive and not self.connection.drains()
