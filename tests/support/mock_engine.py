"""An engine on a socket of its own that can be slow, chunked, truncated, malformed, hanging or gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

Behaviour = str | Callable[[int, dict[str, Any]], str]
WORDS = ["The", " parcel", " is", " on", " its", " way", "."]


class MockEngine:
    """Serves OpenAI's API from a thread; `behaviour` names how, or chooses by (request number, body)."""

    def __init__(self, behaviour: Behaviour = "ok", *, delay_s: float = 0.0, model: str = "engine-model") -> None:
        self.behaviour = behaviour
        self.delay_s = delay_s
        self.model = model
        self.words = WORDS
        self.bodies: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.heads: list[str] = []
        self.connections = 0
        self.active = 0
        self.most_active = 0
        self.cancelled_at: list[float] = []
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> MockEngine:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(
            next(line for line in head.split("\r\n") if line.lower().startswith("content-length")).split(":")[1]
        )
        raw = await reader.readexactly(length)
        body = json.loads(raw)
        self.raw.append(raw)
        self.bodies.append(body)
        self.heads.append(head)
        mode = self.behaviour if isinstance(self.behaviour, str) else self.behaviour(len(self.bodies), body)
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        watch = asyncio.ensure_future(reader.read(1))
        work = asyncio.ensure_future(self._answer(mode, head, body, writer))
        try:
            await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.cancelled_at.append(time.monotonic())
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await work
                return False
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await watch
            return work.result()
        finally:
            self.active -= 1

    async def _answer(self, mode: str, head: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        if self.delay_s and mode != "slow":
            await asyncio.sleep(self.delay_s)
        match mode:
            case "hang":
                await asyncio.sleep(3600)
            case "drop":
                return False
            case "garbage":
                writer.write(b"\x00\x01 this is not HTTP\r\n\r\n")
            case "html":
                writer.write(_plain(b"<html>welcome</html>", kind="text/html"))
            case "truncate":
                writer.write(
                    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{"choices"'
                )
                return False
            case "400":
                error = {"error": {"message": "too long", "type": "invalid_request_error", "code": 400}}
                writer.write(_plain(json.dumps(error).encode(), status="400 Bad Request"))
            case "429":
                writer.write(_plain(b"{}", status="429 Too Many Requests\r\nretry-after: 17"))
            case "500" | "501" | "503":
                writer.write(_plain(b"{}", status=f"{mode} Error"))
            case "huge_headers":
                writer.write(b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"y" * 200_000 + b"\r\n\r\n")
            case _ if "embeddings" in head.split(" ")[1]:
                data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
                usage = {"prompt_tokens": 3, "total_tokens": 3}
                answer = {"object": "list", "model": self.model, "data": data, "usage": usage}
                writer.write(_plain(json.dumps(answer).encode()))
            case _ if body.get("stream"):
                return await self._stream(mode, body, writer)
            case _:
                writer.write(self._whole(mode, head, body))
                if mode == "close_after":
                    await writer.drain()
                    return False
        await writer.drain()
        return True

    def _whole(self, mode: str, head: str, body: dict[str, Any]) -> bytes:
        text = "".join(self.words)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if "chat" in head.split(" ")[1]:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        if mode == "tools":
            function = {"name": "look_up", "arguments": '{"order": 1}'}
            choice["message"] = {"role": "assistant", "content": None}
            choice["message"]["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        answer = {"id": "cmpl-1", "object": "chat.completion", "created": 1, "model": self.model, "choices": [choice]}
        answer["usage"] = {"prompt_tokens": 11, "completion_tokens": len(self.words), "total_tokens": 18}
        if mode == "unframed":
            return b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + json.dumps(answer).encode()
        return _plain(json.dumps(answer).encode())

    async def _stream(self, mode: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        chat = "messages" in body
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        end = b"\r\n\r\n" if mode == "crlf" else b"\n\n"
        if mode == "error_event":
            await self._send(mode, writer, b'data: {"error":{"message":"out of memory","code":500}}' + end)
            writer.write(b"0\r\n\r\n")
            return True
        for number, word in enumerate(self.words):
            if mode == "slow":
                await asyncio.sleep(self.delay_s)
            if mode == "cut" and number == 3:
                await writer.drain()
                return False
            if mode == "stall" and number == 3:
                await asyncio.sleep(3600)
            delta = {"delta": {"content": word}} if chat else {"text": word}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.model}
            chunk["choices"] = [{"index": 0, "finish_reason": None, **delta}]
            await self._send(mode, writer, b"data: " + json.dumps(chunk).encode() + end)
        if mode != "no_end":
            await self._finish(mode, body, writer, end)
        writer.write(b"0\r\n\r\n" if mode != "never_ends" else b"")
        await writer.drain()
        return True

    async def _finish(self, mode: str, body: dict[str, Any], writer: asyncio.StreamWriter, end: bytes) -> None:
        last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        delta = {"delta": {}} if "messages" in body else {"text": ""}
        last["choices"] = [{"index": 0, "finish_reason": "stop", **delta}]
        await self._send(mode, writer, b"data: " + json.dumps(last).encode() + end)
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 11, "completion_tokens": len(self.words), "total_tokens": 18}
            last = {**last, "choices": [], "usage": usage}
            await self._send(mode, writer, b"data: " + json.dumps(last).encode() + end)
        await self._send(mode, writer, b"data: [DONE]" + end)

    async def _send(self, mode: str, writer: asyncio.StreamWriter, data: bytes) -> None:
        if mode == "bytes":
            for index in range(len(data)):
                writer.write(b"1\r\n" + data[index : index + 1] + b"\r\n")
                if index % 16 == 0:
                    await writer.drain()
                    await asyncio.sleep(0)
            return
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()


def _plain(body: bytes, *, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
