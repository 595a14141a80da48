"""A small server to put under load, in a thread of its own: each answer is as its behaviour says."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Behaviour = Callable[[int, dict[str, Any]], bytes]
"""The bytes of an answer, from its number and the request; ending with CUT, the connection is closed after it."""
CUT = b"\x00CUT"


def http(body: bytes, *, status: int = 200, kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Words\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + body


def plain(_number: int, _request: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}
    return http(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}).encode())


def events(*words: str, counted: int | None = None, finish: bool = True, more: bytes = b"") -> bytes:
    parts = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
    parts += [{"choices": [{"delta": {"content": word}}]} for word in words]
    if finish:
        parts.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    if counted is not None:
        parts.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": counted}})
    lines = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts) + more
    return http(lines + (b"data: [DONE]\n\n" if finish else b""), kind="text/event-stream")


class Served:
    """What the server saw."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[dict[str, Any]] = []
        self.heads: list[bytes] = []
        self.url = ""
        self.loop = asyncio.new_event_loop()

    def stall(self, after_s: float, seconds: float) -> None:
        """Answer nobody for a time, as a server in garbage collection does."""
        self.loop.call_soon_threadsafe(self.loop.call_later, after_s, time.sleep, seconds)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.requests.append(json.loads(await reader.readexactly(size)))
                answer = self.behaviour(len(self.requests) - 1, self.requests[-1])
                writer.write(answer.removesuffix(CUT))
                await writer.drain()
                if answer.endswith(CUT):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@contextmanager
def serving(behaviour: Behaviour = plain) -> Iterator[Served]:
    served = Served(behaviour)
    ready = threading.Event()

    async def main() -> None:
        server = await asyncio.start_server(served.handle, "127.0.0.1", 0, backlog=1024)
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(served.loop)
        served.loop.run_until_complete(main())
        served.loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield served
    finally:
        served.loop.call_soon_threadsafe(served.loop.stop)
        thread.join(10)
