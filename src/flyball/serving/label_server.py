"""The server of a linear model: OpenAI's chat completions, of which each answer is one label. I/O: sockets.

Run as `python -m flyball.serving.label_server FOLDER PORT THREADS`. The text is that of the last user message. Usage
counts words, since such a model has no tokens: those of the text between spaces, and one for the label.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import FlyballError, InputError
from flyball.inference.label_scorer import LabelScorer
from flyball.inference.messages import last_user_text, messages_of
from flyball.serving.label_answers import answer_of, events_of, wants_stream

_CHAT = "/v1/chat/completions"
_MOST_BYTES = 64_000_000
_JSON, _TEXT, _EVENTS = b"application/json", b"text/plain; version=0.0.4", b"text/event-stream"
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class LabelServer:
    """An ASGI application over one scorer."""

    def __init__(self, scorer: LabelScorer) -> None:
        self._scorer = scorer
        self._running = self._answered = self._refused = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and path == _CHAT:
            self._running += 1
            try:
                await self._chat(receive, send)
            finally:
                self._running -= 1
        elif method == "GET" and path == "/health":
            await _send(send, 200, b'{"status":"ok"}', _JSON)
        elif method == "GET" and path == "/metrics":
            await _send(send, 200, self.metrics().encode(), _TEXT)
        elif method == "GET" and path == "/v1/models":
            await _send(send, 200, b'{"object":"list","data":[{"id":"linear","object":"model"}]}', _JSON)
        else:
            await _send(send, 404, _error(f"{method} {path} is not served here", "not_found_error"), _JSON)

    async def _chat(self, receive: Receive, send: Send) -> None:
        try:
            body = _object(await _read(receive))
            text = last_user_text(messages_of(body))
            answer = answer_of(body, text, self._scorer.labels, self._scorer(text))
        except InputError as error:
            self._refused += 1
            await _send(send, 400, _error(error.message, "invalid_request_error"), _JSON)
            return
        self._answered += 1
        if wants_stream(body):
            await _send(send, 200, events_of(body, answer), _EVENTS)
        else:
            await _send(send, 200, msgspec.json.encode(answer), _JSON)

    def metrics(self) -> str:
        """Requests in work, and those answered and refused so far, as Prometheus reads them."""
        return (
            "# TYPE onnx:requests_running gauge\n"
            f"onnx:requests_running {self._running}\n"
            "# TYPE onnx:requests_total counter\n"
            f'onnx:requests_total{{result="answered"}} {self._answered}\n'
            f'onnx:requests_total{{result="refused"}} {self._refused}\n'
        )


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}", cure="send a JSON object") from error
    if not isinstance(body, dict):
        raise InputError("the request is not a JSON object", cure='send {"messages": […]}')
    return body


async def _read(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MOST_BYTES:
            raise InputError(f"the request is longer than {_MOST_BYTES:,} bytes", cure="send a shorter text")
        more = message.get("more_body", False)
    return b"".join(parts)


async def _send(send: Send, status: int, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _error(message: str, kind: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": None}})


def main(arguments: list[str]) -> int:
    """Load the model and serve until SIGTERM; 1 with the reason where it cannot be loaded."""
    import uvicorn

    folder, port, threads = arguments
    try:
        scorer = LabelScorer(Path(folder), threads=int(threads))
    except FlyballError as error:
        print(f"{error.message}; {error.cure}", flush=True)
        return 1
    uvicorn.run(
        LabelServer(scorer), host="127.0.0.1", port=int(port), lifespan="off", log_level="error", access_log=False
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
