"""POST /v2/models/{model}/infer: the Open Inference Protocol in front of any release that classifies.

The request becomes a chat completion before anything looks at it and the answer becomes a response of that protocol as
it goes out. So permission, limits, budgets, assignment to arms, fallback and recording are those of chat completions.
One text a request: a record is of one answer.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

import msgspec

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.request_parsing import not_ready, parsed
from flyball.gateway.worker_state import WorkerState

_BEGINS: Final = b"/v2/models/"
_ENDS: Final = b"/infer"
_BINARY: Final = b"inference-header-content-length"


def is_infer_path(path: bytes) -> bool:
    """Whether a path asks a model for an inference."""
    return path.startswith(_BEGINS) and path.endswith(_ENDS)


def take_inference(state: WorkerState, exchange: Exchange, path: bytes) -> None:
    """Make a chat completion of the request, whose answer will be translated; HttpRefusal for what cannot be one."""
    reply = _Reply()
    exchange.translate = reply.translated
    principal = state.access.principal(exchange)
    name = unquote(path[len(_BEGINS) : -len(_ENDS)].decode("utf-8", "replace"))
    if "/versions/" in name:
        raise HttpRefusal(404, "a route has no versions: its release answers; leave the version out", code="not_found")
    if not state.routes.views:
        raise not_ready("no route is served yet", state.routes.missing)
    if name not in state.routes.views:
        state.reload_routes()  # the name may be as new as that
    view = state.routes.find(name, principal)
    releases = [arm.path.release for arm in view.arms if arm.path is not None]
    if not releases or any(one.task != "classification" for one in releases):
        raise HttpRefusal(
            400, f"{name!r} is no classifier; ask it at /v1/chat/completions", code="unsupported_endpoint"
        )
    if _BINARY in exchange.headers:
        raise _wrong("binary data is not read here: send `data` as JSON")
    body = parsed(exchange.body)
    text, rank = _text(body)
    reply.model, reply.rank, reply.id = name, rank, body.get("id")
    chat: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": text}]}
    parameters = body.get("parameters")
    if isinstance(parameters, dict) and isinstance(user := parameters.get("user"), str):
        chat["user"] = user
    exchange.body = msgspec.json.encode(chat)


class _Reply:
    """The answer to one request in the protocol's own form."""

    def __init__(self) -> None:
        self.model, self.rank, self.id = "", 1, None

    def translated(self, status: int, body: bytes) -> bytes:
        """A chat completion as an output named `label`, an error as the protocol says it."""
        document = msgspec.json.decode(body)
        if status != 200:
            error = document.get("error") if isinstance(document, dict) else None
            message = error.get("message") if isinstance(error, dict) else error
            return msgspec.json.encode({"error": message or "no reason given"})
        label = document["choices"][0]["message"]["content"]
        output = {"name": "label", "datatype": "BYTES", "shape": [1] * self.rank, "data": [label]}
        found: dict[str, Any] = {"model_name": self.model, "outputs": [output]}
        return msgspec.json.encode(found if self.id is None else {**found, "id": self.id})


def _text(body: dict[str, Any]) -> tuple[str, int]:
    """The one text of a request, and how many dimensions its tensor has."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _wrong('give one input: {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["…"]}]}')
    tensor = inputs[0]
    if tensor.get("datatype") != "BYTES":
        raise _wrong(f"the datatype of the input is {tensor.get('datatype')!r}: a text is BYTES")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or any(size != 1 for size in shape):
        raise _wrong(f"the shape of the input is {shape!r}: one text a request, [1] or [1, 1]")
    data = tensor.get("data")
    while isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not isinstance(data, str):
        raise _wrong("the data of the input is not one text")
    return data, len(shape)


def _wrong(message: str) -> HttpRefusal:
    return HttpRefusal(400, message, code="invalid_request", param="inputs")
