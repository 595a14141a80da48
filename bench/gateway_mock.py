"""The engine of bench/gateway.py: answers at once, so cheaply that the gateway before it is what is measured.

    python bench/gateway_mock.py      prints its port, serves until its standard input ends

A plain answer is one constant of 1 kB. A stream is 50 content chunks, one every two milliseconds, each in a write of
its own as engines send them; finish, usage and [DONE] come with the next. I/O: a loopback socket.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import uvloop

CHUNKS = 50
CHUNK_EVERY_S = 0.002
MODEL = "engine-model"
_WORDS = [f" parcel {number:03d} is on its way" for number in range(CHUNKS)]  # 25 characters each: 1.25 kB
_ANSWER = "".join(_WORDS)[:1024]
_USAGE = {"prompt_tokens": 256, "completion_tokens": CHUNKS, "total_tokens": 256 + CHUNKS}
_STREAM = re.compile(rb'"stream":\s*true')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def _plain() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": _ANSWER}, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return _whole(json.dumps({**head, "choices": [choice], "usage": _USAGE}, separators=(",", ":")).encode())


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _events() -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    bodies: list[dict[str, Any]] = []
    for word in _WORDS:
        bodies.append({**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
    ends = [
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": _USAGE},
    ]
    chunks = [_chunk(json.dumps(body, separators=(",", ":")).encode()) for body in bodies]
    last = b"".join(_chunk(json.dumps(body, separators=(",", ":")).encode()) for body in ends)
    return [*chunks, last + _chunk(b"[DONE]") + b"0\r\n\r\n"]


def _chunk(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


PLAIN = _plain()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = _events()
MODELS = _whole(json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode())


class Ticker:
    """One timer for all streams: each tick sends the next chunk of each."""

    def __init__(self) -> None:
        self.streams: dict[asyncio.Transport, int] = {}
        self.running = False

    def add(self, transport: asyncio.Transport) -> None:
        """Begin a stream."""
        transport.write(STREAM_HEAD + EVENTS[0])
        self.streams[transport] = 1
        if not self.running:
            self.running = True
            asyncio.get_running_loop().call_later(CHUNK_EVERY_S, self._tick)

    def _tick(self) -> None:
        for transport, place in list(self.streams.items()):
            transport.write(EVENTS[place])
            if place == CHUNKS:
                del self.streams[transport]
            else:
                self.streams[transport] = place + 1
        self.running = bool(self.streams)
        if self.running:
            asyncio.get_running_loop().call_later(CHUNK_EVERY_S, self._tick)


class Mock(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, ticker: Ticker) -> None:
        self.ticker = ticker
        self.data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.ticker.streams.pop(self.transport, None)

    def data_received(self, data: bytes) -> None:
        self.data = data = self.data + data if self.data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        if data.startswith(b"GET"):
            self.data = b""
            self.transport.write(MODELS)
            return
        length = _LENGTH.search(data, 0, end)
        if length is None or len(data) < end + 4 + int(length[1]):
            return
        self.data = b""
        if _STREAM.search(data, end):
            self.ticker.add(self.transport)
        else:
            self.transport.write(PLAIN)


async def _serve() -> None:
    loop, ticker = asyncio.get_running_loop(), Ticker()
    server = await loop.create_server(lambda: Mock(ticker), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # ends with whoever started it


if __name__ == "__main__":
    uvloop.run(_serve())
