"""A server that speaks OpenAI's API and is as good or as bad as it is told: what stands in for a release. I/O: sockets.

It runs in a thread. Its answer is RIGHT or WRONG, so that a judge can tell; `mode` says how it misbehaves otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from typing import Literal

RIGHT, WRONG = "yes", "no"
Mode = Literal["well", "hang", "500", "drop", "not_http", "cut"]


class StandIn:
    """Serves on a loopback port until the block ends."""

    def __init__(self, *, right: float = 0.9, delay_s: float = 0.01, seed: int = 1) -> None:
        self.right, self.delay_s = right, delay_s
        self.mode: Mode = "well"
        self.fails = 0.0  # share of the requests that are answered 500, whatever the mode
        self.asked = 0
        self.port = 0
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> StandIn:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                body = json.loads(await reader.readexactly(int(lines[0].split(":")[1]))) if lines else {}
                if not await self._answer(head, body, writer):
                    break
        writer.close()

    async def _answer(self, head: str, body: dict[str, object], writer: asyncio.StreamWriter) -> bool:
        if head.startswith("GET"):
            writer.write(_plain(b'{"object":"list","data":[{"id":"stand-in"}]}'))
            return True
        self.asked += 1
        await asyncio.sleep(self.delay_s * self._chance.uniform(0.8, 1.25))
        match "500" if self._chance.random() < self.fails else self.mode:
            case "hang":
                await asyncio.sleep(3600)
            case "drop":
                return False
            case "500":
                writer.write(_plain(b'{"error":{"message":"out of memory"}}', status="500 Internal Server Error"))
                return True
            case "not_http":
                writer.write(b"\x00\xff nothing like it\r\n\r\n")
                return False
        return self._say(RIGHT if self._chance.random() < self.right else WRONG, body, writer)

    def _say(self, word: str, body: dict[str, object], writer: asyncio.StreamWriter) -> bool:
        usage = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13}
        base = {"id": "c", "created": 1, "model": "stand-in"}
        if not body.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": word}}
            writer.write(_plain(json.dumps({**base, "choices": [choice], "usage": usage}).encode()))
            return True
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        _event(writer, {**base, "choices": [{"index": 0, "delta": {"content": word}}]})
        if self.mode == "cut":
            return False
        _event(writer, {**base, "choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]})
        _event(writer, {**base, "choices": [], "usage": usage})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        return True


def _event(writer: asyncio.StreamWriter, document: object) -> None:
    data = b"data: " + json.dumps(document).encode() + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def _plain(body: bytes, *, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
