"""Why an upstream failed: the answer, the log and the record say it in our own words."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from certificates import self_signed
from flyball.gateway.recording.endpoint_findings import EndpointFindings
from flyball.gateway.upstream.failure_causes import SAY_AGAIN_S, FailureCauses, connect_words, words_of
from flyball.records import Finding
from flyball.storage.ledger import Ledger
from flyball.storage.routing import Arm, Endpoint
from mock_engine import MockEngine
from running_gateway import QUICK, RunningGateway, arm, chat, table

ONCE = msgspec.structs.replace(QUICK, retries=0, queue_timeout_s=0.3)


@contextmanager
def listening(behaviour: str, folder: Path) -> Iterator[int]:
    """A port of this machine that resets, or speaks TLS with a certificate that nobody signed, or no TLS at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if behaviour == "certificate":
        context.load_cert_chain(*self_signed(folder))

    def run() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if behaviour == "certificate":
                    with suppress(OSError):
                        context.wrap_socket(client, server_side=True).close()
                elif behaviour == "plain":
                    client.recv(100)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                else:
                    client.recv(100)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def upstream(url: str) -> Arm:
    return Arm(
        release="3" * 64,
        variant="live",
        weight=1.0,
        endpoints=(Endpoint(id="upstream-1", url=url, slots=8),),
    )


CASES = {
    "name": ("http://nowhere.invalid:80", "the name nowhere.invalid is not known (DNS)"),
    "refused": ("http://127.0.0.1:1", "the connection was refused"),
    "certificate": ("https://127.0.0.1:{port}", "its certificate is not accepted: self-signed certificate"),
    "plain": ("https://127.0.0.1:{port}", "it does not speak TLS"),
    "reset": ("https://127.0.0.1:{port}", "the connection was reset"),
    "label": (f"http://{'a' * 70}.example", "is not known (DNS)"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_answer_the_log_and_the_record_name_why_an_upstream_cannot_be_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    url, words = CASES[case]
    caplog.set_level(logging.WARNING, logger="flyball")
    with (
        listening(case, tmp_path) as port,
        RunningGateway(tmp_path, table(upstream(url.format(port=port))), config=ONCE) as gateway,
    ):
        answers = [gateway.post("/v1/chat/completions", chat()) for _ in range(3)]
        records = [entry.record for entry in gateway.requests()]
    assert all(status in (502, 503) and words in body["error"]["message"] for status, _, body in answers), answers
    assert all(record.cause and words in record.cause and "upstream-1" in record.cause for record in records)
    said = [line for line in caplog.messages if words in line]
    assert len(said) == 1, "one line a minute for each endpoint and cause"


@pytest.mark.parametrize("case", ["certificate", "plain"])
def test_nobody_waits_for_a_certificate_to_become_better(tmp_path: Path, case: str) -> None:
    with (
        listening(case, tmp_path) as port,
        RunningGateway(tmp_path, table(upstream(CASES[case][0].format(port=port)))) as gateway,
    ):
        began = time.monotonic()
        status, _, body = gateway.post("/v1/chat/completions", chat())
    assert status == 502 and CASES[case][1] in body["error"]["message"]
    assert time.monotonic() - began < 5, "half of gateway.queue_timeout_s"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mode", "cause"),
    [
        ("drop", "dropped: it closed the connection"),
        ("html", "malformed: what it sent is no answer"),
        ("garbage", "malformed: what it sent is no answer"),
        ("500", "status 500: it answered 500"),
        ("400", "status 400: the engine refused the request"),
    ],
)
def test_the_record_names_what_the_engine_did_in_words_of_ours(
    tmp_path: Path, mode: str, cause: str, stream: bool
) -> None:
    with MockEngine(mode) as engine, RunningGateway(tmp_path, table(arm(engine)), config=ONCE) as gateway:
        gateway.post("/v1/chat/completions", chat(stream=stream))
        (entry,) = gateway.requests()
    assert entry.record.cause is not None and entry.record.cause.startswith(cause)
    assert "welcome" not in entry.record.cause and "too long" not in entry.record.cause


def test_a_stream_that_is_cut_says_why(tmp_path: Path) -> None:
    with MockEngine("cut") as engine, RunningGateway(tmp_path, table(arm(engine)), config=ONCE) as gateway:
        gateway.post("/v1/chat/completions", chat(stream=True))
        (entry,) = gateway.requests()
    assert entry.record.outcome == "cut" and entry.record.cause


def test_an_answer_that_came_after_a_retry_has_no_cause(tmp_path: Path) -> None:
    with (
        MockEngine(lambda number, _body: "500" if number == 1 else "ok") as engine,
        RunningGateway(tmp_path, table(arm(engine)), config=QUICK) as gateway,
    ):
        assert gateway.post("/v1/chat/completions", chat())[0] == 200
        (entry,) = gateway.requests()
    assert entry.record.cause is None and entry.record.attempts == 2


def test_records_say_which_endpoint_was_asked(tmp_path: Path) -> None:
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine)), config=QUICK) as gateway:
        gateway.post("/v1/embeddings", {"model": "shop", "input": "parcel"})
        gateway.post("/v1/completions", {"model": "shop", "prompt": "parcel"})
        gateway.post("/v1/chat/completions", chat())
        assert [entry.record.kind for entry in gateway.requests()] == ["embedding", "completion", "chat"]


def test_of_several_addresses_that_fail_the_reason_is_read_from_their_text() -> None:
    both = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed")
    assert connect_words(both, host="x", timeout_s=1.0).startswith("the connection was refused")
    unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
    assert "unreachable" in connect_words(unreachable, host="x", timeout_s=1.0)
    assert connect_words(TimeoutError(), host="x", timeout_s=2.0) == "no connection within 2 s"
    assert connect_words(OSError(errno.EMFILE, "x"), host="x", timeout_s=2.0) == "no connection: EMFILE"
    assert words_of("new kind") == "new kind"


def test_a_cause_is_said_again_after_a_minute_with_how_often_it_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("flyball.gateway.upstream.failure_causes.time.monotonic", lambda: now)
    complaints = FailureCauses()
    assert complaints.due("a", "x") == 0
    assert complaints.due("a", "x") is None and complaints.due("a", "x") is None
    assert complaints.due("b", "x") == 0 and complaints.due("a", "y") == 0
    now += SAY_AGAIN_S
    assert complaints.due("a", "x") == 2


def test_watching_names_the_upstream_what_was_asked_and_why(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.gateway.recording.endpoint_findings.LASTING_S", 0.2)
    routes = table(upstream("http://nowhere.invalid:80"))
    with RunningGateway(tmp_path / "a", routes, config=ONCE, ledger=ledger) as gateway:
        end = time.monotonic() + 20
        while not ledger.find(Finding):
            assert time.monotonic() < end
            gateway.post("/v1/chat/completions", chat())
    (finding,) = (stored.record for stored in ledger.find(Finding))
    assert (finding.kind, finding.severity, finding.route) == ("health", "critical", "shop")
    assert finding.explanation.startswith(
        "upstream-1 cannot be reached: connect: the name nowhere.invalid is not known"
    )
    assert "/v1/chat/completions" in finding.explanation and finding.examples


def test_a_finding_names_the_kind_of_request_that_fails(tmp_path: Path, ledger: Ledger) -> None:
    with (
        MockEngine("500") as engine,
        RunningGateway(tmp_path / "a", table(arm(engine)), config=ONCE, ledger=ledger) as gateway,
    ):
        end = time.monotonic() + 20
        while not ledger.find(Finding):
            assert time.monotonic() < end
            gateway.post("/v1/embeddings", {"model": "shop", "input": f"text {time.monotonic()}"})
    (finding,) = (stored.record for stored in ledger.find(Finding))
    assert finding.severity == "warning" and "status 500" in finding.explanation
    assert "/v1/embeddings" in finding.explanation


def test_an_engine_that_is_started_again_is_no_finding(tmp_path: Path, ledger: Ledger) -> None:
    troubles = EndpointFindings(ledger, project="shop", worker="w")
    for _ in range(50):
        troubles.note(endpoint="e", route="shop", path="/v1/chat/completions", cause="connect: refused", request="r")
    troubles.close()
    assert ledger.find(Finding) == []


def test_a_request_that_waited_for_nothing_says_how_long(tmp_path: Path) -> None:
    with RunningGateway(tmp_path, table(upstream("http://127.0.0.1:1")), config=ONCE) as gateway:
        for _ in range(6):
            gateway.post("/v1/chat/completions", chat())
        waited = [entry.record for entry in gateway.requests() if entry.record.error == "unavailable"]
    assert waited and all(record.queue_ms >= 20 for record in waited) and all(record.cause for record in waited)
