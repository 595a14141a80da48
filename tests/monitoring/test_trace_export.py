"""Traces to a double of a receiver on loopback, which reads each body strictly by OpenTelemetry's own messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, url_attributes

from flyball.errors import UpstreamError
from flyball.monitoring.traces import export
from flyball.monitoring.traces.config import TracesConfig
from flyball.monitoring.traces.export import Exporter
from flyball.monitoring.traces.spans import MOST_CHARACTERS, Answerer, is_sampled, spans_of, trace_id
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger
from post_receiver import post_receiver
from record_samples import request_record
from traffic_rows import add_payload, add_request

KNOWN = {
    value
    for module in (gen_ai_attributes, error_attributes, http_attributes, url_attributes)
    for value in vars(module).values()
    if isinstance(value, str)
}
ANSWERER = Answerer(provider="llama.cpp", model="qwen3")
PEOPLE = {name: letter * 64 for name, letter in (("subject", "5"), ("conversation", "6"), ("client_id", "7"))}


def strictly(body: bytes) -> Any:
    """The request as protobuf: an unknown field, a wrong type or an id of the wrong size is an error."""
    document = json.loads(body)
    spans = [span for one in document["resourceSpans"] for two in one["scopeSpans"] for span in two["spans"]]
    for holder in [*spans, *(link for span in spans for link in span.get("links", ()))]:
        for key, size in (("traceId", 16), ("spanId", 8), ("parentSpanId", 8)):
            if key in holder:  # hexadecimal in OTLP, base64 in protobuf's own JSON
                raw = bytes.fromhex(holder[key])
                assert len(raw) == size and any(raw)
                holder[key] = base64.b64encode(raw).decode()
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            assert isinstance(holder.get(key, ""), str)
    return json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=False)


@dataclass
class Receiver:
    """What a receiver of OTLP took; it answers with the first of `answers`, then 200."""

    url: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """All spans that were taken, in order."""
        return [s for body in self.bodies for one in strictly(body).resource_spans for s in one.scope_spans[0].spans]

    @property
    def traces(self) -> list[str]:
        return list(dict.fromkeys(span.trace_id.hex() for span in self.spans))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        kept.asked += 1
        kept.headers = {**headers, "path": path}
        status, said = kept.answers.pop(0) if kept.answers else (200, b"{}")
        if status == 200:
            kept.bodies.append(body)
        return status, said

    with post_receiver(answer) as url:
        kept.url = f"{url}/v1/traces"
        yield kept


def exporter(ledger: Ledger, receiver: Receiver, **config: Any) -> Exporter:
    """One that has had its first look, so that what comes now is new."""
    made = Exporter(
        ledger=ledger,
        config=TracesConfig(url=receiver.url, **config),
        url=receiver.url,
        answerer=lambda _: ANSWERER,
        secrets={"env:KEY": "Basic abc"}.__getitem__,
    )
    assert made.send_due() == 0
    return made


def add(ledger: Ledger, count: int = 1, **changes: Any) -> list[str]:
    """New requests; their trace ids."""
    records = [request_record(**{"id": uuid7(), **changes}) for _ in range(count)]
    with ledger.begin() as connection:
        for record in records:
            add_request(connection, record)
    return [trace_id(record.id) for record in records]


def told(span: Any) -> dict[str, Any]:
    """The attributes of a span."""
    values = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        found = getattr(one.value, kind)
        values[one.key] = [each.string_value for each in found.values] if kind == "array_value" else found
    return values


def test_a_request_is_a_server_span_with_its_wait_and_its_call(ledger: Ledger, receiver: Receiver) -> None:
    sender = exporter(ledger, receiver, headers={"Authorization": "env:KEY"})
    (trace,) = add(ledger, queue_ms=5.25, total_ms=30.5, first_token_ms=10.25, **PEOPLE, key_id="key-of-ada")
    assert sender.send_due() == 1 and sender.send_due() == 0

    assert receiver.headers["authorization"] == "Basic abc" and receiver.headers["path"] == "/v1/traces"
    root, wait, call = receiver.spans
    assert [span.name for span in (root, wait, call)] == ["POST /v1/chat/completions", "wait for a slot", "chat shop"]
    assert [span.kind for span in (root, wait, call)] == [2, 1, 3]
    assert receiver.traces == [trace] and not root.parent_span_id
    assert wait.parent_span_id == call.parent_span_id == root.span_id
    assert len({root.span_id, wait.span_id, call.span_id}) == 3
    began = 1_790_000_000_000 * 1_000_000
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (began, began + 30_500_000)
    assert (wait.start_time_unix_nano, wait.end_time_unix_nano) == (began, began + 5_250_000)
    assert (call.start_time_unix_nano, call.end_time_unix_nano) == (began + 5_250_000, began + 30_500_000)
    asked = told(call)
    assert asked["gen_ai.operation.name"] == "chat" and asked["gen_ai.provider.name"] == "llama.cpp"
    assert (asked["gen_ai.request.model"], asked["gen_ai.response.model"]) == ("shop", "qwen3")
    assert (asked["gen_ai.usage.input_tokens"], asked["gen_ai.usage.output_tokens"]) == (20, 3)
    assert asked["gen_ai.response.finish_reasons"] == ["stop"]
    assert asked["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.005)
    assert told(root)["flyball.cost_usd"] == 0.001 and told(root)["http.response.status_code"] == 200
    assert not any(key.startswith("gen_ai.usage") for key in told(root)), "tokens would be counted twice"
    assert root.status.code == call.status.code == 0
    names = {key for span in (root, wait, call) for key in told(span) if not key.startswith("flyball.")}
    assert names <= KNOWN
    assert not any(secret.encode() in receiver.bodies[0] for secret in (*PEOPLE.values(), "u" * 64, "key-of-ada"))


@pytest.mark.parametrize(
    ("changes", "error", "failed", "spans"),
    [
        ({"outcome": "error", "status": 502, "error": "engine_failed", "cause": "no answer"}, "engine_failed", True, 3),
        ({"outcome": "cut", "status": 200}, "cut", True, 3),
        ({"outcome": "refused", "status": 429, "error": "limit", "attempts": 0, "queue_ms": 0.0}, "limit", False, 1),
        ({"outcome": "error", "status": 200, "error": "fallback:overloaded;None"}, None, False, 3),
        ({"outcome": "error", "status": 502, "error": "fallback:overloaded;drained"}, "drained", True, 3),
    ],
)  # fmt: skip
def test_failures_are_told_where_the_client_saw_one(
    changes: dict[str, Any], error: str | None, failed: bool, spans: int
) -> None:
    found = spans_of(request_record(**changes), ANSWERER)
    values = {one["key"]: one["value"] for one in found[0]["attributes"]}
    assert len(found) == spans
    assert values.get("error.type") == (None if error is None else {"stringValue": error})
    assert all(("status" in span) == failed for span in found if span["kind"] != 1)
    assert ("gen_ai.operation.name" in values) == (spans == 1)
    assert "gen_ai.usage.input_tokens" not in values


def test_the_same_ids_are_sent_again_after_a_failure(ledger: Ledger, receiver: Receiver) -> None:
    sender = exporter(ledger, receiver)
    wanted = add(ledger, 3)
    first = [span["spanId"] for span in spans_of(request_record(id="a"), None)]
    assert first == [span["spanId"] for span in spans_of(request_record(id="a"), None)]
    for status in (503, 429, 401, 415, 422):
        receiver.answers = [(status, b"later")]
        with pytest.raises(UpstreamError, match=f"answered {status}: later"):
            sender.send_due()
    assert receiver.bodies == []
    assert sender.send_due() == 3 and receiver.traces == wanted


def test_nothing_is_lost_while_nobody_listens(ledger: Ledger, receiver: Receiver) -> None:
    sender = exporter(ledger, receiver)
    wanted = add(ledger)
    dead = replace(sender, url="http://127.0.0.1:9/v1/traces")
    with pytest.raises(UpstreamError, match="were not sent"):
        dead.send_due()
    assert sender.send_due() == 1 and receiver.traces == wanted


def test_what_is_rejected_or_malformed_is_not_sent_again(
    ledger: Ledger, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    sender = exporter(ledger, receiver)
    add(ledger, 2)
    receiver.answers = [(200, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}')]
    assert sender.send_due() == 2
    add(ledger)
    receiver.answers = [(400, b"malformed")]
    sender.send_due()
    assert receiver.asked == 2 and sender.send_due() == 0 and receiver.asked == 2
    assert "rejected 2 spans: too old" in caplog.text and "1 traces were refused for good" in caplog.text


def test_a_batch_that_is_too_large_is_sent_in_halves(ledger: Ledger, receiver: Receiver) -> None:
    sender = exporter(ledger, receiver)
    wanted = add(ledger, 5)
    receiver.answers = [(413, b""), (200, b""), (413, b"")]
    assert sender.send_due() == 5 and receiver.traces == wanted and receiver.asked == 5


def test_batches_are_bounded_and_a_backlog_is_sent_in_order(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BATCH", 2)
    monkeypatch.setattr(export, "BATCHES", 2)
    sender = exporter(ledger, receiver)
    wanted = add(ledger, 5)
    assert [sender.send_due(), sender.send_due()] == [4, 1] and receiver.traces == wanted
    monkeypatch.setattr(export, "BATCH_BYTES", 1)
    monkeypatch.setattr(export, "TEXTS", 1)
    add(ledger, 2)
    sender.send_due()
    assert receiver.asked == 5


def test_a_sample_is_a_fixed_part_of_every_larger_one(ledger: Ledger, receiver: Receiver) -> None:
    names = [uuid7() for _ in range(4000)]
    small, large = ({name for name in names if is_sampled(name, share)} for share in (0.1, 0.5))
    assert small < large and abs(len(small) / 4000 - 0.1) < 0.025 and abs(len(large) / 4000 - 0.5) < 0.04
    assert all(is_sampled(name, 1.0) and not is_sampled(name, 0.0) for name in names)
    sender = exporter(ledger, receiver, sample=0.0)
    add(ledger, 3)
    assert sender.send_due() == 0 and receiver.asked == 0
    assert exporter(ledger, receiver).send_due() == 0, "what was not sampled is not looked at again"


@pytest.mark.parametrize("content", [True, False])
def test_texts_are_sent_only_where_asked_for_and_as_redacted(ledger: Ledger, receiver: Receiver, content: bool) -> None:
    sender = exporter(ledger, receiver, content=content)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        {"role": "system", "content": "x" * MOST_CHARACTERS},
        {"role": "user", "content": [{"type": "text", "text": "Where is [EMAIL]?"}, image]},
    ]
    redacted = json.dumps({"messages": messages, "answer": "Here."})
    erased, kept = request_record(id=uuid7()), request_record(id=uuid7())
    with ledger.begin() as connection:
        for record, text in ((erased, None), (kept, redacted)):
            add_request(connection, record)
            add_payload(
                connection, id=record.id, project="shop", subject="s", sealed=b"sealed", redacted=text, expires_ms=0
            )
    assert sender.send_due() == 2
    of_erased, of_kept = (told(span) for span in receiver.spans if span.kind == 3)
    assert not any("messages" in key for key in of_erased)
    if not content:
        assert of_kept.keys() == of_erased.keys() and b"EMAIL" not in receiver.bodies[0]
        return
    system, user = json.loads(of_kept["gen_ai.input.messages"])
    assert user["parts"] == [{"type": "text", "content": "Where is [EMAIL]?"}, {"type": "image_url"}]
    assert len(system["parts"][0]["content"]) == MOST_CHARACTERS - len("Where is [EMAIL]?")
    said = {"role": "assistant", "parts": [{"type": "text", "content": "Here."}], "finish_reason": "stop"}
    assert json.loads(of_kept["gen_ai.output.messages"]) == [said]
    assert {key for key in of_kept if not key.startswith("flyball.")} <= KNOWN


def test_a_shadows_copy_is_linked_to_what_it_copies(ledger: Ledger, receiver: Receiver) -> None:
    sender = exporter(ledger, receiver)
    original = uuid7()
    add(ledger, id=original)
    add(ledger, mirrors=original, variant="shadow")
    sender.send_due()
    roots = [span for span in receiver.spans if span.kind == 2]
    (link,) = roots[1].links
    assert (link.trace_id, link.span_id) == (roots[0].trace_id, roots[0].span_id)
    assert roots[1].trace_id != roots[0].trace_id and roots[0].trace_id.hex() == original.replace("-", "")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "http://127.0.0.1:4318"}, "has no path; most back ends want /v1/traces"),
        ({"url": "localhost:4318/v1/traces"}, "is not an HTTP address"),
        ({"url": "http://a:b@host/v1/traces"}, "a user name or a password"),
        ({"headers": {"content-type": "x"}}, "is set by the gateway itself"),
        ({"sample": 1.5}, "1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(settings, TracesConfig)
