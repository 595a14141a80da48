"""The least that a gateway in Python does: bytes through uvloop, both sides parsed by httptools, and nothing else.

    python bench/gateway_floor.py PORT UPSTREAM_PORT

No key, no limit, no record, no failure handled: bench/gateway.py measures it to tell what the event loop, the parser
and the system cost from what a gateway adds to them. I/O: loopback sockets.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
import uvloop

IDLE: list[Upstream] = []


class Upstream(asyncio.Protocol):
    """One kept-alive connection to the upstream; what it says goes to `client` as it is."""

    client: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        client = self.client
        self.parser.feed_data(data)
        client.write(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, data: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        IDLE.append(self)


class Client(asyncio.Protocol):
    """One connection of a client; each request goes on whole."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.parts: list[bytes] = []
        self.url = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        body, self.parts = b"".join(self.parts), []
        head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        request = head % (self.url, len(body)) + body
        if IDLE:
            self.send(IDLE.pop(), request)
        else:
            self.connecting = asyncio.ensure_future(self.connect(request))

    def send(self, upstream: Upstream, request: bytes) -> None:
        upstream.client = self.transport
        upstream.transport.write(request)

    async def connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(Upstream, "127.0.0.1", self.upstream)
        self.send(upstream, request)


async def _serve(port: int, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(upstream), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
