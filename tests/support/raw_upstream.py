"""An upstream that says exactly the bytes that a test wants, and keeps what it was asked; over TLS where wanted."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

Script = Callable[["Asked", socket.socket], bool | None]
"""Answers one request on its socket; False closes the connection."""


class Asked:
    """One request as it came."""

    def __init__(self, head: str, raw: bytes) -> None:
        self.head, self.raw = head, raw
        self.method, self.target = head.split(" ", 2)[:2]
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


class RawUpstream:
    """A thread per connection; `script` answers each request."""

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.script, self._tls = script, tls
        self.asked: list[Asked] = []
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else host}:{self.port}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RawUpstream:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with contextlib.suppress(OSError, EOFError):
                while self._one(connection):
                    pass
        except OSError:
            pass  # the handshake failed
        finally:
            connection.close()

    def _one(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            data += received(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        asked = Asked(head.decode(), b"")
        length = int(asked.headers.get("content-length", 0))
        while len(body) < length:
            body += received(connection)
        asked.raw = body
        self.asked.append(asked)
        return self.script(asked, connection) is not False


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise EOFError
    return data


def head(*lines: str, status: str = "200 OK", kind: str | None = "text/event-stream") -> bytes:
    """The head of an answer in chunks."""
    types = [f"content-type: {kind}"] if kind else []
    return "\r\n".join([f"HTTP/1.1 {status}", *types, "transfer-encoding: chunked", *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def plain(body: bytes, *lines: str, status: str = "200 OK", kind: str | None = "application/json") -> bytes:
    types = [f"content-type: {kind}"] if kind else []
    return "\r\n".join([f"HTTP/1.1 {status}", *types, f"content-length: {len(body)}", *lines, "", ""]).encode() + body


def word(text: str, **fields: Any) -> bytes:
    """An event with a piece of text."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **fields}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def answer(text: str = "on its way") -> bytes:
    """A whole chat completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps({**document, "usage": usage}).encode()


LAST = word("", finish_reason="stop") + b"data: [DONE]\n\n"
STREAM = word("on") + word(" its way") + LAST


def either(asked: Asked, connection: socket.socket) -> None:
    """Answer as every server does: whole, or as a stream."""
    if asked.method == "GET":
        connection.sendall(plain(b'{"data": [{"id": "m"}]}'))
    elif asked.body.get("stream"):
        connection.sendall(head() + chunk(STREAM) + END)
    else:
        connection.sendall(plain(answer()))
