"""Answers that need no engine: which models there are, whether the gateway lives and is ready, its numbers."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal, error_body
from flyball.gateway.metrics_pages import MetricsPages
from flyball.gateway.request_parsing import not_ready
from flyball.gateway.worker_state import WorkerState, first_route
from flyball.security.permissions import may
from flyball.security.principals import Principal

MODELS: Final = b"/v1/models"
HEALTH: Final = (b"/healthz", b"/health")
"""The second is what load generators and other gateways ask."""
PAGES: Final = (b"/", *HEALTH, b"/readyz", b"/metrics", MODELS)
_GET = (b"GET", b"HEAD")
_ABOUT = msgspec.json.encode(
    {
        "object": "gateway",
        "api": [
            *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/feedback"),
            "/v2/models/{model}/infer",
        ],
        "health": ["/healthz", "/readyz", "/metrics"],
    }
)


def is_model_path(path: bytes) -> bool:
    """Whether a path asks for models: all, or one by its name, which may hold slashes."""
    return path == MODELS or path.startswith(MODELS + b"/")


def show(state: WorkerState, pages: MetricsPages, exchange: Exchange, path: bytes) -> None:
    """Answer a path that needs no engine; HttpRefusal for one that there is not."""
    if path not in PAGES and not is_model_path(path):
        raise HttpRefusal(404, "no such path; see /v1/models, /v1/chat/completions", code="not_found")
    if exchange.method not in _GET:
        raise HttpRefusal(405, "only GET is answered here", code="method_not_allowed", headers=(("allow", "GET"),))
    if path in HEALTH:
        exchange.answer(200, b'{"status":"ok"}')
    elif path == b"/readyz":
        _ready(state, exchange)
    elif path == b"/metrics":
        state.access.check_page(exchange)
        page = pages.with_others(state.metrics.text())
        exchange.answer(200, page, kind=b"text/plain; version=0.0.4; charset=utf-8")
    elif path == b"/":
        exchange.answer(200, _ABOUT)
    else:
        _models(state, exchange, path)


async def models(state: WorkerState, exchange: Exchange, path: bytes) -> None:
    """The models where no route is known yet: a moment later, as completions are."""
    if exchange.method not in _GET:
        raise HttpRefusal(405, "only GET is answered here", code="method_not_allowed", headers=(("allow", "GET"),))
    state.access.principal(exchange)  # nobody else may have us wait
    await first_route(state)
    _models(state, exchange, path)


def _ready(state: WorkerState, exchange: Exchange) -> None:
    """Ready is: not draining, and every route has an engine, of live or a fallback, that is not put aside."""
    waiting = [name for name, view in state.routes.views.items() if not any(map(state.balancer.ready, view.trusted))]
    if not (state.draining or waiting or not state.routes.views):
        exchange.answer(200, b'{"status":"ready"}')
        return
    if state.draining:
        reason = "draining"
    else:
        reason = _lacking(state, exchange, waiting)
    exchange.answer(503, error_body(503, reason, code="not_ready"))


def _lacking(state: WorkerState, exchange: Exchange, waiting: list[str]) -> str:
    """What is not ready and why; a caller without a good key is told of no route by its name."""
    try:
        principal = state.access.principal(exchange)
    except HttpRefusal:
        return "no engine for: any route" if not waiting else f"no engine for: {len(waiting)} routes"
    if not waiting:
        return f"no engine for: any route; {state.routes.missing}".removesuffix("; ")
    mine = [state.routes.views[name].route for name in waiting if may(principal, "ask", name)]
    told = [f"{route.name} ({route.missing})" if route.missing else route.name for route in mine]
    return f"no engine for: {', '.join(told) or f'{len(waiting)} routes'}"


def _models(state: WorkerState, exchange: Exchange, path: bytes) -> None:
    principal = state.access.principal(exchange)
    wanted = path[len(MODELS) :].removeprefix(b"/")
    if wanted:
        exchange.answer(200, msgspec.json.encode(_model(state, _named(state, principal, wanted))))
        return
    names = state.routes.names(principal)
    exchange.answer(200, msgspec.json.encode({"object": "list", "data": [_model(state, name) for name in names]}))


def _named(state: WorkerState, principal: Principal, wanted: bytes) -> str:
    """The route that a path names, as it is or percent-encoded: clients send org/name as org%2Fname."""
    decoded = unquote_to_bytes(wanted).decode("utf-8", "replace")
    plain = wanted.decode("utf-8", "replace")
    if decoded not in state.routes.views and plain not in state.routes.views:
        state.reload_routes()  # the name may be as new as that
    if not state.routes.views:
        raise not_ready("no route is served yet", state.routes.missing)
    name = plain if plain in state.routes.views else decoded
    return state.routes.find(name, principal).route.name


def _model(state: WorkerState, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": state.context.project}
