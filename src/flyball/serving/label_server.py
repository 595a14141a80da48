"""A classifier as OpenAI's chat completions, of which each answer is one label. I/O: sockets.

The text is that of the last user message. Usage counts words, since such a model has no tokens: those of the text
between spaces, and one for the label. Run as `python -m flyball.serving.label_server FOLDER PORT THREADS` it serves a
linear model; classic_server.py serves one that another server holds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from flyball.engines.catalog import LINEAR
from flyball.engines.label import Label, likeliest
from flyball.errors import FlyballError, InputError, UpstreamError
from flyball.inference.label_scorer import LabelScorer
from flyball.inference.messages import last_user_text, messages_of
from flyball.serving.label_answers import answer_of, events_of, wants_stream

_CHAT = "/v1/chat/completions"
_MOST_BYTES = 64_000_000
_JSON, _TEXT, _EVENTS = b"application/json", b"text/plain; version=0.0.4", b"text/event-stream"
_PASSED_ON = (429, 503, 504)
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def nothing_wrong() -> str:
    """For a model in this process: it is ready and alive while the process answers."""
    return ""


class LabelServer:
    """An ASGI application over a function that labels a text.

    `pool`: the threads that call it where it waits; without one it is called in the event loop. `unready` and `gone`
    say why nothing can be asked yet, and why nothing can be asked any more; empty where it can. `name` begins the names
    of its metrics.
    """

    def __init__(
        self,
        label: Callable[[str], Label],
        *,
        name: str,
        model: str,
        pool: Executor | None = None,
        unready: Callable[[], str] = nothing_wrong,
        gone: Callable[[], str] = nothing_wrong,
    ) -> None:
        self._label, self._name, self._model, self._pool = label, name, model, pool
        self._unready, self._gone = unready, gone
        self._running = self._answered = self._refused = self._failed = 0

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
            problem = self._unready()
            status = {"status": problem or "ok"}
            await _send(send, 503 if problem else 200, msgspec.json.encode(status), _JSON)
        elif method == "GET" and path == "/alive":
            problem = await asyncio.to_thread(self._gone)
            await _send(send, 503 if problem else 200, (problem or self.metrics()).encode(), _TEXT)
        elif method == "GET" and path == "/metrics":
            await _send(send, 200, self.metrics().encode(), _TEXT)
        elif method == "GET" and path == "/v1/models":
            listed = {"object": "list", "data": [{"id": self._model, "object": "model"}]}
            await _send(send, 200, msgspec.json.encode(listed), _JSON)
        else:
            await _send(send, 404, _error(f"{method} {path} is not served here", "not_found_error"), _JSON)

    async def _chat(self, receive: Receive, send: Send) -> None:
        try:
            body = _object(await _read(receive))
            text = last_user_text(messages_of(body))
            answer = answer_of(body, text, await self._labelled(text), model=self._model)
        except InputError as error:
            self._refused += 1
            await _send(send, 400, _error(error.message, "invalid_request_error"), _JSON)
            return
        except UpstreamError as error:
            self._failed += 1
            status = error.status if error.status in _PASSED_ON else 502
            await _send(send, status, _error(error.message, "upstream_error"), _JSON)
            return
        self._answered += 1
        if wants_stream(body):
            await _send(send, 200, events_of(body, answer), _EVENTS)
        else:
            await _send(send, 200, msgspec.json.encode(answer), _JSON)

    async def _labelled(self, text: str) -> Label:
        if self._pool is None:
            return self._label(text)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._label, text)

    def metrics(self) -> str:
        """Requests in work, and those answered, refused and failed so far, as Prometheus reads them."""
        return (
            f"# TYPE {self._name}:requests_running gauge\n"
            f"{self._name}:requests_running {self._running}\n"
            f"# TYPE {self._name}:requests_total counter\n"
            f'{self._name}:requests_total{{result="answered"}} {self._answered}\n'
            f'{self._name}:requests_total{{result="refused"}} {self._refused}\n'
            f'{self._name}:requests_total{{result="failed"}} {self._failed}\n'
        )


def serve(server: LabelServer, *, port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    import uvicorn

    uvicorn.run(server, host="127.0.0.1", port=port, lifespan="off", log_level="error", access_log=False)


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
    folder, port, threads = arguments
    try:
        scorer = LabelScorer(Path(folder), threads=int(threads))
    except FlyballError as error:
        print(f"{error.message}; {error.cure}", flush=True)
        return 1
    labels = scorer.labels
    serve(LabelServer(lambda text: likeliest(labels, scorer(text)), name=LINEAR.name, model="linear"), port=int(port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
