"""From an HTTP request to what is asked: who, of which route, assigned to which arm, under which id."""

from __future__ import annotations

import time
from typing import Any, Final, Literal

import msgspec

from flyball.cost.prompt_estimate import prompt_parts
from flyball.errors import InputError
from flyball.gateway.engine_prompt import prompted
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal, refusal_of
from flyball.gateway.routing import ArmView, RouteView
from flyball.gateway.subjects import MAX_ID, person_of, text_of
from flyball.gateway.upstream.lenient_json import body_of, nests_deeper
from flyball.gateway.worker_state import WorkerState
from flyball.records.identity import request_id
from flyball.security.permissions import may
from flyball.security.principals import Principal

Kind = Literal["chat", "completion", "embedding"]
PATHS: dict[Kind, bytes] = {
    "chat": b"/v1/chat/completions",
    "completion": b"/v1/completions",
    "embedding": b"/v1/embeddings",
}
_DEFAULT_COMPLETION_TOKENS: Final = 1024
_LARGE: Final = 65_536
_MEDIA: Final = 4_096
"""Bytes: no picture, sound or file fits into less, or takes fewer tokens than as text."""
_LEVELS: Final = 128
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CONTAINER_BYTES: Final = 200
"""An object of 7 bytes of JSON takes so many in memory: a body may grow to thirty times its size."""


class ParsedRequest:
    """One request, understood."""

    __slots__ = (
        *("arm", "began", "body", "client_id", "conversation", "forced", "id", "ignored", "kind", "principal", "raw"),
        *("started_ms", "stream", "subject", "unit", "view", "wants_usage"),
    )

    def __init__(  # written out: a dataclass's takes several times as long once this is compiled
        self,
        *,
        id: str,
        kind: Kind,
        principal: Principal,
        body: dict[str, Any],
        raw: bytes,
        view: RouteView,
        arm: ArmView,
        unit: str,
        forced: bool,
        subject: str | None,
        conversation: str | None,
        client_id: str | None,
        stream: bool,
        wants_usage: bool,
        started_ms: int,
        began: float,
    ) -> None:
        self.id, self.kind, self.principal, self.body, self.raw = id, kind, principal, body, raw
        self.view, self.arm, self.unit, self.forced = view, arm, unit, forced
        self.subject, self.conversation, self.client_id = subject, conversation, client_id
        self.stream, self.wants_usage, self.started_ms, self.began = stream, wants_usage, started_ms, began
        self.ignored = b""  # a header line: the fields that count for nothing with the release that answers

    def ignore(self, names: bytes) -> None:
        """Say to the client which of its fields count for nothing."""
        self.ignored = b"x-flyball-ignored: %b\r\n" % names if names else b""


def understand(state: WorkerState, exchange: Exchange, kind: Kind) -> ParsedRequest:
    """The request as an Ask; HttpRefusal for whatever is wrong with it."""
    principal = state.access.principal(exchange)
    if len(exchange.body) > _LARGE:
        _make_room(exchange)
    body = parsed(exchange.body)
    view = _route(state, principal, body)
    person = person_of(exchange, body, state.context.config.subject_from)
    subject = state.hashed("subject", person) if person else None
    conversation = _hashed(state, exchange, b"x-flyball-conversation", "conversation")
    client_id = _hashed(state, exchange, b"x-flyball-client-id", "client_id")
    unit = _chosen_unit(state, exchange, view.route.unit, principal, subject, conversation)
    if unit is None:
        unit = _unit_of_caller(state, principal, client_id or exchange.connection.peer)
    variant = exchange.text(b"x-flyball-variant")
    arm = _arm(state, view, principal, unit, variant)
    check_endpoint(kind, view, arm)
    options = body.get("stream_options")
    now_ms = time.time_ns() // 1_000_000
    return ParsedRequest(
        id=request_id(state.mac_key, principal.id, now_ms=now_ms),
        kind=kind,
        principal=principal,
        body=body,
        raw=exchange.body,
        view=view,
        arm=arm,
        unit=unit,
        forced=variant is not None,
        subject=subject,
        conversation=conversation,
        client_id=client_id,
        stream=body.get("stream") is True and kind != "embedding",
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        started_ms=now_ms,
        began=exchange.started,
    )


def engine_payload(ask: ParsedRequest, arm: ArmView, *, count: bool = True) -> bytes:
    """What the engine gets: the prompt path of the release applied, and in streams `count`, the tokens, asked for."""
    count = count and ask.stream
    if arm.path is None:
        return _untouched(ask, arm, count=count)
    check_endpoint(ask.kind, ask.view, arm)  # of one that answers in another's stead too
    try:
        payload, ignored = prompted(arm.path, ask.kind, ask.body, count=count)
    except InputError as error:
        raise refusal_of(error) from error
    ask.ignore(ignored)
    return payload


def uncounted(ask: ParsedRequest, arm: ArmView, payload: bytes) -> bytes:
    """The same without asking for the tokens, for a server that does not know how."""
    if arm.path is None:
        return engine_payload(ask, arm, count=False)
    fields: dict[str, Any] = _FIELDS.decode(payload)
    fields.pop("stream_options", None)
    return msgspec.json.encode(fields)


def _untouched(ask: ParsedRequest, arm: ArmView, *, count: bool) -> bytes:
    """The client's own bytes for a bare upstream; where its name of the model differs, all other fields' bytes."""
    ask.ignored = b""
    changed: dict[str, Any] = {}
    if arm.arm.model is not None or not ask.body.get("model"):
        changed["model"] = arm.arm.model or ask.view.route.name
    if count and not ask.wants_usage:
        options = ask.body.get("stream_options")
        changed["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if not changed:
        return ask.raw
    try:
        fields: dict[str, Any] = _FIELDS.decode(ask.raw)
    except msgspec.MsgspecError:  # it holds halves of emoji
        fields = dict(ask.body)
    fields.update(changed)
    return msgspec.json.encode(fields)


def estimated_tokens(ask: ParsedRequest) -> tuple[int, int]:
    """Prompt and completion tokens that a request may use at most, roughly: what limits set aside for it."""
    prompt = _prompt_at_most(ask)
    if ask.kind == "embedding":
        return prompt, 0
    release = ask.arm.arm.prompt_path
    if release is not None and release.constraint.kind == "labels":
        return prompt, 32
    for source in (ask.body, release.sampling if release is not None else {}):
        for name in ("max_completion_tokens", "max_tokens"):
            if isinstance(value := source.get(name), int) and value > 0:
                return prompt, min(value, 1_000_000) * _answers(ask)
    each = min(release.engine.context, _DEFAULT_COMPLETION_TOKENS) if release else _DEFAULT_COMPLETION_TOKENS
    return prompt, each * _answers(ask)


def _prompt_at_most(ask: ParsedRequest) -> int:
    """By its bytes; by its parts where it is long enough to hold pictures, sound or files, whose base64 is no text."""
    size = len(ask.raw)
    if size > _MEDIA and (b";base64," in ask.raw or b'"data"' in ask.raw or b'"file_data"' in ask.raw):
        parts = prompt_parts(ask.body)
        return sum(len(text.encode("utf-8", "replace")) // 3 + tokens for text, tokens in parts) + 8
    return size // 3 + 8


def _answers(ask: ParsedRequest) -> int:
    """How many texts a request asks for: n, for each of its prompts."""
    number = 1
    for name in ("n", "best_of"):
        if isinstance(value := ask.body.get(name), int) and value > number:
            number = value
    prompts = ask.body.get("prompt") if ask.kind == "completion" else None
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):  # a list of numbers is one prompt
        number *= len(prompts)
    return min(number, 10_000)


def asked(ask: ParsedRequest) -> Any:
    """The messages that are recorded: of a chat as they are, else the prompt as one message."""
    if ask.kind == "chat":
        return ask.body.get("messages")
    content = ask.body.get("prompt" if ask.kind == "completion" else "input")
    return [{"role": "user", "content": content}]


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object; 400 for anything else. Halves of an emoji, where a client cut a text, are replaced."""
    try:
        document = body_of(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HttpRefusal(400, f"the body is not JSON: {error}", code="invalid_json") from error
    except RecursionError as error:
        raise HttpRefusal(400, "the body is nested too deeply", code="invalid_json") from error
    if not isinstance(document, dict):
        raise HttpRefusal(400, "the body is not a JSON object", code="invalid_json")
    if nests_deeper(document, body, _LEVELS):  # a reader of its record would end in a RecursionError
        raise HttpRefusal(400, f"the body is nested more than {_LEVELS} levels deep", code="invalid_json")
    return document


def _make_room(exchange: Exchange) -> None:
    """503 for a large body for whose lists and objects there is no memory now."""
    containers = exchange.body.count(b"{") + exchange.body.count(b"[")
    if not exchange.hold(containers * _CONTAINER_BYTES):
        retry = (("retry-after", "1"),)
        raise HttpRefusal(503, "the gateway holds as many bodies as it can", code="overloaded", headers=retry)


def _route(state: WorkerState, principal: Principal, body: dict[str, Any]) -> RouteView:
    if not state.routes.views:  # before the first table: not the caller's mistake, and over in a moment
        raise not_ready("no route is served yet", state.routes.missing)
    model = text_of(body.get("model"), "model")
    if model is None:
        names = state.routes.names(principal)
        if not names:
            raise HttpRefusal(404, "none of this key's models is served", code="model_not_found", param="model")
        model = names[0]
    if model not in state.routes.views:
        state.reload_routes()  # the name may be as new as that
    return state.routes.find(model, principal)


def not_ready(what: str, missing: str) -> HttpRefusal:
    """503: there is nothing that could answer yet, and why."""
    message = f"{what}: {missing}" if missing else what
    return HttpRefusal(503, message, code="not_ready", headers=(("retry-after", "1"),))


def _arm(state: WorkerState, view: RouteView, principal: Principal, unit: str, forced: str | None) -> ArmView:
    if forced is not None:
        if not may(principal, "choose_variant", view.route.name):
            raise HttpRefusal(403, "only admin keys may choose a variant", code="forbidden")
        return view.forced(forced)
    arm = view.assign(unit)
    if arm is None:
        raise not_ready(f"nothing serves {view.route.name!r} yet", view.route.missing)
    if view.interchangeable and not state.balancer.has_room(arm):
        return next((other for other in view.fallbacks if state.balancer.has_room(other)), arm)
    return arm


def check_endpoint(kind: Kind, view: RouteView, arm: ArmView) -> None:
    """400 where a release answers no such requests: nothing of them was evaluated."""
    if kind != "chat" and arm.path is not None and not (kind == "embedding" and arm.path.embeds):
        raise HttpRefusal(400, f"{view.route.name!r} answers /v1/chat/completions only", code="unsupported_endpoint")


def _hashed(state: WorkerState, exchange: Exchange, header: bytes, purpose: str) -> str | None:
    """An id that the caller chose: it may name a person, so that only its keyed hash is kept."""
    value = exchange.text(header)
    if value is not None and len(value) > MAX_ID:
        raise HttpRefusal(400, f"{header.decode()} is longer than {MAX_ID} characters", code="invalid_header")
    return state.hashed(purpose, value) if value else None


def _chosen_unit(
    state: WorkerState,
    exchange: Exchange,
    choice: str,
    principal: Principal,
    subject: str | None,
    conversation: str | None,
) -> str | None:
    """What stays with one arm on this route; None where the request does not say, so that its caller stands in."""
    if choice == "auto":
        return subject or conversation
    if choice == "user":
        return subject
    if choice == "conversation":
        return conversation
    if choice == "key":
        return state.hashed("unit", principal.id)
    name = choice.removeprefix("header:").lower()
    return _hashed(state, exchange, name.encode(), f"unit:{name}")


def _unit_of_caller(state: WorkerState, principal: Principal, client: str) -> str:
    return state.hashed("unit", f"{principal.id}\0{client}")
