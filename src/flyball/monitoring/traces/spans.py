"""How a RequestRecord is told in OpenTelemetry's terms: the one place that knows its semantic conventions. Pure.

A trace has a server span for the request and, where they happened, children for the wait and for the engine's call. A
record keeps durations, so the wait stands first and the call fills the rest. What the GenAI conventions say of a call
stands on one span only, so that a back end that adds up tokens counts them once. Ids follow from the request's id: to
send again is to send the same. People are left out: no hash of a user, key, conversation or caller's own id is here.

Sources: OpenTelemetry semantic conventions for GenAI (in development) and HTTP; OTLP 1.x's JSON encoding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flyball.addresses import shown
from flyball.records import JSON, RequestRecord
from flyball.records.runtime import ASKED_PATHS
from flyball.storage.payload_texts import answer_text

Span = dict[str, Any]
SERVER, INTERNAL, CLIENT = 2, 1, 3  # SpanKind
FAILED: Final = 2  # Status.StatusCode
OPERATIONS: Final = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
MOST_CHARACTERS: Final = 65_536
"""Of the texts of one request, and of its answer; the newest are kept."""
_NS_PER_MS: Final = 1_000_000
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """What answers for a release: the kind of its engine, and the model as the engine or the ledger calls it."""

    provider: str
    model: str


def trace_id(request: str) -> str:
    """32 hexadecimal digits: the request's UUID without its hyphens, so that a client's own id finds the trace."""
    plain = request.replace("-", "").lower()
    return plain if _TRACE_ID.fullmatch(plain) else hashlib.sha256(request.encode()).hexdigest()[:32]


def span_id(request: str, name: str) -> str:
    """16 hexadecimal digits that follow from the request and the span's place in it."""
    return hashlib.sha256(f"{name}\0{request}".encode()).hexdigest()[:16]


def is_sampled(request: str, share: float) -> bool:
    """Whether a request is in a sample of this share: always the same answer, and one in a larger sample too."""
    digest = hashlib.sha256(bytes.fromhex(trace_id(request))).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def spans_of(record: RequestRecord, answerer: Answerer | None, texts: Mapping[str, JSON] | None = None) -> list[Span]:
    """The spans of a request in OTLP's JSON, its root first; `texts` is the redacted payload where it is wanted."""
    began = record.started_ms * _NS_PER_MS
    ended = began + round(record.total_ms * _NS_PER_MS)
    waited = min(ended, began + round(record.queue_ms * _NS_PER_MS))
    path = ASKED_PATHS[record.kind]
    called = record.attempts > 0
    call = _call(record, answerer) | (_content(record, texts) if texts else {})
    root: dict[str, object] = {
        "http.request.method": "POST",
        "http.route": path,
        "url.path": path,
        "http.response.status_code": record.status or None,
        "error.type": _error_type(record),
        **_flyball(record),
        **({} if called else call),
    }
    spans = [_span(record, "request", f"POST {path}", SERVER, began, ended, root)]
    if record.mirrors is not None:
        copied = {"traceId": trace_id(record.mirrors), "spanId": span_id(record.mirrors, "request")}
        spans[0]["links"] = [copied]
    if record.queue_ms > 0:
        spans.append(_span(record, "queue", "wait for a slot", INTERNAL, began, waited, {}))
    if called:
        name = f"{OPERATIONS[record.kind]} {record.route}"
        spans.append(_span(record, "call", name, CLIENT, waited, ended, call))
    return spans


def export_request(project: str, version: str, spans: Sequence[object]) -> bytes:
    """The body of one POST: an ExportTraceServiceRequest of these spans (or of their JSON, as msgspec.Raw)."""
    resource = _attributes({"service.name": project, "telemetry.sdk.name": "flyball", "telemetry.sdk.version": version})
    scope = {"name": "flyball", "version": version}
    scoped = [{"scope": scope, "spans": spans}]
    return msgspec.json.encode({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": scoped}]})


def _call(record: RequestRecord, answerer: Answerer | None) -> dict[str, object]:
    first_ms = record.first_token_ms
    return {
        "gen_ai.operation.name": OPERATIONS[record.kind],
        "gen_ai.provider.name": answerer.provider if answerer else None,
        "gen_ai.request.model": record.route,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.model": answerer.model if answerer and record.attempts else None,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": None
        if first_ms is None
        else max(0.0, first_ms - record.queue_ms) / 1000,
        "gen_ai.usage.input_tokens": record.prompt_tokens if record.attempts else None,
        "gen_ai.usage.output_tokens": record.completion_tokens if record.attempts else None,
        "error.type": _error_type(record),
        "flyball.endpoint": shown(record.endpoint) or None,
        "flyball.attempts": record.attempts,
        "flyball.longest_gap_ms": record.longest_gap_ms,
        "flyball.tokens_estimated": record.estimated or None,
    }


def _flyball(record: RequestRecord) -> dict[str, object]:
    """What has no name in the conventions."""
    return {
        "flyball.request": record.id,
        "flyball.route": record.route,
        "flyball.release": record.release,
        "flyball.answered_by": record.answered_by,
        "flyball.deployment": record.deployment,
        "flyball.variant": record.variant,
        "flyball.outcome": record.outcome,
        "flyball.cost_usd": record.cost_usd,
        "flyball.team": record.team,
        "flyball.mirrors": record.mirrors,
        "flyball.forced": record.forced or None,
        "flyball.fallback": _failures(record)[0],
    }


def _failures(record: RequestRecord) -> tuple[str | None, str | None]:
    """Why another release was asked instead, and why the request failed in the end; the record joins them with `;`."""
    before, both, last = (record.error or "").rpartition(";")
    return before.removeprefix("fallback:") if both else None, last if last not in ("", "None") else None


def _error_type(record: RequestRecord) -> str | None:
    """None also where another release answered: to the client that was no failure."""
    fallback, error = _failures(record)
    return error or (record.outcome if record.outcome in ("error", "cut") and fallback is None else None)


def _content(record: RequestRecord, texts: Mapping[str, JSON]) -> dict[str, object]:
    """Texts as the conventions' JSON schema of messages has them; images and sounds by kind alone."""
    found: dict[str, object] = {}
    messages = texts.get("messages")
    said: list[dict[str, object]] = []
    left = MOST_CHARACTERS
    for message in reversed(messages if isinstance(messages, list) else []):
        if left <= 0 or not isinstance(message, Mapping):
            break
        parts, left = _parts(message.get("content"), left)
        said.append({"role": str(message.get("role", "user")), "parts": parts})
    if said:
        found["gen_ai.input.messages"] = msgspec.json.encode(said[::-1]).decode()
    answer = answer_text(texts)
    if answer:
        parts, _ = _parts(answer, MOST_CHARACTERS)
        out = {"role": "assistant", "parts": parts, "finish_reason": record.finish_reason or "error"}
        found["gen_ai.output.messages"] = msgspec.json.encode([out]).decode()
    return found


def _parts(content: object, left: int) -> tuple[list[dict[str, object]], int]:
    """The parts of one message, and how many characters more may be told."""
    parts: list[dict[str, object]] = []
    for one in content if isinstance(content, list) else [content]:
        text = one.get("text") if isinstance(one, Mapping) else one
        if isinstance(text, str):
            parts.append({"type": "text", "content": text[: max(0, left)]})
            left -= len(text)
        elif isinstance(one, Mapping):
            parts.append({"type": str(one.get("type", "unknown"))[:40]})
    return parts, left


def _span(
    record: RequestRecord, place: str, name: str, kind: int, began_ns: int, ended_ns: int, attributes: dict[str, object]
) -> Span:
    span: Span = {
        "traceId": trace_id(record.id),
        "spanId": span_id(record.id, place),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(began_ns),  # JSON's numbers are too small: OTLP writes 64 bits as text
        "endTimeUnixNano": str(ended_ns),
        "attributes": _attributes(attributes),
    }
    if place != "request":
        span["parentSpanId"] = span_id(record.id, "request")
    error = _error_type(record)
    if place != "queue" and error is not None and (record.outcome in ("error", "cut") or record.status >= 500):
        span["status"] = {"code": FAILED, "message": record.cause or error}
    return span


def _attributes(values: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _value(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}
