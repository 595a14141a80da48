"""How other people's servers answer: one line each, run through the gateway and directly (test_upstream_behaviours.py).

Add a line to a table and the runner compares what an `openai` client reads through the gateway with what it reads
directly, and looks at the record. `plain` and `stream` make a line; whatever they cannot say is said with Behaviour.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mock_engine import MockEngine

ENGINE_MODEL = "vendor/model-1"
Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One way to answer. What is None is not looked at.

    `pieces` are written one by one, of a stream as chunks of HTTP. `respond` chooses another Behaviour by the request's
    body. `tokens`: prompt and completion tokens in the record, to within `within` (a share of them) where the server
    does not count. `said` is the answer in the record, `outcome` its outcome, `status` what the client gets where the
    gateway answers on its own (`same` is False then: what both clients read differs by intent).
    """

    name: str
    pieces: tuple[bytes, ...] = ()
    kind: Literal["plain", "stream"] = "plain"
    api: Literal["chat", "completion", "embedding"] = "chat"
    head: str = "200 OK"
    content_type: str = "application/json"
    headers: str = ""
    cut: bool = False  # the connection ends before the answer does
    pause_s: float = 0.0  # before each piece
    respond: Callable[[Body], Behaviour] | None = None
    request: Body | None = None  # fields beside messages
    same: bool = True
    status: int | None = None
    outcome: str = "ok"
    tokens: tuple[int, int] | None = None
    within: float = 0.0
    estimated: bool | None = None
    said: str | None = None
    attempts: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".replace(" ", "-")


def plain(name: str, body: Any, **more: Any) -> Behaviour:
    """A whole answer: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Behaviour(name=name, pieces=(data,), **more)


def stream(name: str, *events: Any, done: bool = True, **more: Any) -> Behaviour:
    """Events: bytes as they are, anything else as `data: JSON`; then [DONE] unless `done` is False."""
    pieces = [item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode() + b"\n\n" for item in events]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return Behaviour(name=name, pieces=tuple(pieces), kind="stream", content_type="text/event-stream", **more)


def answer(message: Any = None, usage: Any = ..., **more: Any) -> Body:
    """An ordinary chat completion; `message` is a text or the message's fields, `more` replaces what is on top."""
    said = {"role": "assistant", "content": message} if message is None or isinstance(message, str) else message
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": ENGINE_MODEL}
    body["choices"] = [{"index": 0, "message": said, "finish_reason": "stop"}]
    if usage is not ...:
        body["usage"] = usage
    return body | more


def event(delta: Any = None, usage: Any = ..., finish: str | None = None, **more: Any) -> Body:
    """An ordinary event of a chat; `delta` is a piece of text or the delta's fields."""
    said = {"content": delta} if isinstance(delta, str) else delta or {}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": ENGINE_MODEL}
    body["choices"] = [{"index": 0, "delta": said, "finish_reason": finish}]
    if usage is not ...:
        body["usage"] = usage
    return body | more


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ENDED = event(finish="stop")
COUNTED = event(choices=[], usage=USAGE)
TEXT = "Your parcel is on its way and should arrive tomorrow before noon."
"""Thirteen tokens of most tokenizers, the full stop among them."""

PLAIN = [
    plain("as OpenAI answers", answer(TEXT, USAGE), tokens=(9, 4), estimated=False, said=TEXT),
]

STREAMS = [
    stream(
        "as OpenAI streams", event("Hel"), event("lo"), ENDED, COUNTED, tokens=(9, 4), estimated=False, said="Hello"
    ),
]

BEHAVIOURS = [*PLAIN, *STREAMS]


class OddEngine(MockEngine):
    """Answers as the Behaviour says that it is given before each request."""

    def __init__(self, behaviour: Behaviour = BEHAVIOURS[0]) -> None:
        super().__init__(model=ENGINE_MODEL)
        self.odd = behaviour

    async def _answer(self, mode: str, head: str, body: Body, writer: asyncio.StreamWriter) -> bool:
        odd = self.odd if self.odd.respond is None else self.odd.respond(body)
        lines = f"HTTP/1.1 {odd.head}\r\ncontent-type: {odd.content_type}\r\n{odd.headers}"
        if odd.kind == "plain":
            data = b"".join(odd.pieces)
            writer.write(f"{lines}content-length: {len(data) + odd.cut}\r\n\r\n".encode() + data)
        else:
            writer.write(f"{lines}transfer-encoding: chunked\r\n\r\n".encode())
            for piece in odd.pieces:
                if odd.pause_s:
                    await writer.drain()
                    await asyncio.sleep(odd.pause_s)
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"" if odd.cut else b"0\r\n\r\n")
        await writer.drain()
        return not odd.cut


def refused(status: int, error: Any) -> Behaviour:
    """What `respond` may give: a refusal with this `error`."""
    body = json.dumps({"error": error}).encode()
    return replace(BEHAVIOURS[0], name="refused", pieces=(body,), kind="plain", head=f"{status} Refused")
