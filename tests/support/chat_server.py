"""A small OpenAI-compatible server on a loopback port that answers, fails, stalls, cuts or lies as a test says."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[str, int], object]
"""(the user's text, number of the request) → answer text, (status, message), or one of the marks below."""
ERROR, STALL, CUT, GARBAGE, LIE = object(), object(), object(), object(), object()


class Confident(str):
    """An answer of one token with its probability."""

    def __new__(cls, text: str, probability: float) -> Confident:
        made = super().__new__(cls, text)
        made.listed = {"content": [{"token": text, "bytes": None, "logprob": math.log(probability)}]}
        return made

    listed: dict[str, Any]


class Limited(str):
    """An answer that ended at the limit of tokens."""


class ChatServer(ThreadingHTTPServer):
    """Counts what it was asked."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.asked, self.lock = behave, list[str](), threading.Lock()
        self.models, self.keys, self.bodies = list[str](), list[str | None](), list[dict[str, Any]]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *where: Any) -> None:
        """A client that was interrupted is no fault of the test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*where)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: without it each answer waits 40 ms
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.asked.append(text)
            self.server.models.append(body["model"])
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["authorization"])
            number = len(self.server.asked)
        self.answer(self.server.behave(text, number))

    def do_GET(self) -> None:
        """The one model that it serves, under /v1/models."""
        self.send(200, b'{"object": "list", "data": [{"id": "anything", "object": "model"}]}')

    def answer(self, answer: object) -> None:
        if answer is ERROR:
            return self.send(500, b'{"error": {"message": "out of memory"}}')
        if isinstance(answer, tuple):  # a status and its message
            return self.send(answer[0], json.dumps({"error": {"message": answer[1]}}).encode())
        if answer is STALL:
            time.sleep(3)
        if answer is GARBAGE:
            return self.send(200, b"<html>hello</html>")
        tokens = -5 if answer is LIE else 3
        reply = json.dumps(
            {
                "choices": [
                    {
                        "message": {"role": "assistant", "content": str(answer)},
                        "finish_reason": "length" if isinstance(answer, Limited) else "stop",
                        **({"logprobs": answer.listed} if isinstance(answer, Confident) else {}),
                    }
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": tokens},
            }
        ).encode()
        return self.send(200, reply, cut=answer is CUT)

    def send(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def chat_server(behave: Behaviour) -> Iterator[ChatServer]:
    server = ChatServer(behave)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
