"""Hostile input: the right status, bounded memory, and service to others unharmed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.gateway.config import GatewayConfig
from flyball.gateway.http import server
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, receive, split, table

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
BODY = json.dumps(chat()).encode()


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = GatewayConfig(max_body_bytes=100_000)
    with RunningGateway(tmp_path_factory.mktemp("gateway"), table(arm(engine, slots=64)), config=config) as running:
        yield running


SMUGGLING = {
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "same length twice": b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde",
    "list of lengths": b"content-length: 5, 5\r\n\r\nabcde",
    "negative length": b"content-length: -5\r\n\r\n",
    "signed length": b"content-length: +5\r\n\r\nabcde",
    "hex length": b"content-length: 0x5\r\n\r\nabcde",
    "unknown coding": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding list": b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "space before colon": b"content-length : 5\r\n\r\nabcde",
    "folded header": b"x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "bare line feeds": b"x-a: b\ncontent-length: 0\n\n",
    "nul in header": b"x-a: b\0c\r\ncontent-length: 0\r\n\r\n",
    "two hosts": b"host: y\r\ncontent-length: 0\r\n\r\n",
}
CHUNKS = {
    "not hex": b"zz\r\nab\r\n0\r\n\r\n",
    "longer than said": b"2\r\nabcd\r\n0\r\n\r\n",
    "huge size": b"ffffffffffffffffff\r\n",
    "negative size": b"-1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_an_ambiguous_message_is_a_400_and_ends_the_connection(gateway: RunningGateway, name: str) -> None:
    answer = gateway.raw(CHAT + SMUGGLING[name] + b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n")
    status, headers, body = split(answer)
    assert (status, headers["connection"]) == (400, "close")
    assert body["error"]["type"] == "invalid_request_error"
    assert answer.count(b"HTTP/1.1 ") == 1, "what stood behind it must not be answered"


@pytest.mark.parametrize("name", CHUNKS)
def test_bad_chunking_is_a_400(gateway: RunningGateway, name: str) -> None:
    assert split(gateway.raw(CHAT + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS[name]))[0] == 400


def test_a_chunked_body_with_extensions_and_trailers_is_read(gateway: RunningGateway) -> None:
    parts = [BODY[:10], BODY[10:11], BODY[11:]]
    chunks = b"".join(b"%x;name=value\r\n%b\r\n" % (len(part), part) for part in parts)
    tail = b"0\r\nx-flyball-variant: canary\r\nauthorization: Bearer other\r\n\r\n"
    status, _, body = split(
        gateway.raw(CHAT + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + tail)
    )
    assert status == 200 and body["model"] == "shop"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": "\xff\xfe"}', "invalid_json"),
        (b"[" * 50_000, "invalid_json"),
        (b'{"model": 7, "messages": []}', "invalid_type"),
        (b'{"model": "shop", "user": {"a": 1}}', "invalid_type"),
        (b'{"model": "shop", "user": "' + b"u" * 600 + b'"}', "invalid_type"),
    ],
)
def test_a_malformed_body_is_a_400_that_says_why(gateway: RunningGateway, body: bytes, code: str) -> None:
    status, _, answer = gateway.post("/v1/chat/completions", body)
    assert status == 400 and answer["error"]["code"] == code


def test_lone_surrogates_do_not_break_anything(gateway: RunningGateway) -> None:
    body = b'{"model": "shop", "user": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}'
    assert gateway.post("/v1/chat/completions", body)[0] in (200, 400)
    assert gateway.get("/healthz")[0] == 200


def test_a_body_that_is_too_large_is_a_413_before_it_is_read(gateway: RunningGateway) -> None:
    status, headers, body = split(gateway.raw(CHAT + b"content-length: 100001\r\n\r\n"))
    assert (status, headers["connection"], body["error"]["code"]) == (413, "close", "body_too_large")


def test_a_client_that_sends_its_large_body_anyway_still_reads_the_413(gateway: RunningGateway) -> None:
    answer = gateway.raw(CHAT + b"content-length: 3000000\r\n\r\n" + b"x" * 1_000_000)
    assert split(answer)[0] == 413


def test_a_chunked_body_that_grows_too_large_is_a_413(gateway: RunningGateway) -> None:
    chunk = b"4e20\r\n" + b"x" * 20_000 + b"\r\n"
    assert split(gateway.raw(CHAT + b"transfer-encoding: chunked\r\n\r\n" + chunk * 6))[0] == 413


@pytest.mark.parametrize(
    "headers",
    [b"x-a: " + b"y" * 40_000 + b"\r\n", b"x-b: 1\r\n" * 1000, b"".join(b"x-%d: 1\r\n" % n for n in range(200))],
)
def test_headers_that_are_too_large_or_too_many_are_a_431(gateway: RunningGateway, headers: bytes) -> None:
    assert split(gateway.raw(CHAT + headers + b"\r\n"))[0] == 431


def test_a_header_that_never_ends_is_cut_off_early(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(CHAT + b"x-a: ")
        sent = 0
        try:
            while sent < 50_000_000:
                sent += connection.send(b"y" * 16_384)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        assert sent < 20_000_000


def test_a_compressed_body_is_a_415(gateway: RunningGateway) -> None:
    assert split(gateway.raw(CHAT + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc"))[0] == 415


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /\r\n\r\n", b"\0" * 100])
def test_what_is_not_http_is_a_400(gateway: RunningGateway, junk: bytes) -> None:
    assert split(gateway.raw(junk))[0] == 400


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_whatever_hurt_the_gateway(gateway: RunningGateway, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(junk)
    assert gateway.get("/healthz")[0] == 200


def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    ask = CHAT + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = gateway.raw(ask + health + ask + last)
    kinds = [part.split(b"\r\n\r\n")[1][:12] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert kinds == [b'{"id": "cmpl', b'{"status":"o', b'{"id": "cmpl', b'{"error":{"m']


def _chunked() -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def test_a_thousand_pipelined_requests_do_not_pile_up(gateway: RunningGateway) -> None:
    ask = CHAT + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    answer = gateway.raw(ask * 1000, timeout_s=2)
    assert answer.count(b"HTTP/1.1 200") <= server.MAX_PIPELINED + 2
    assert b"too_many_pipelined" in answer


def test_http_1_0_is_answered_without_chunks_and_closed(gateway: RunningGateway) -> None:
    body = json.dumps(chat(stream=True)).encode()
    head = b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body)
    answer = gateway.raw(head + body)
    assert b"transfer-encoding" not in answer and answer.endswith(b"data: [DONE]\n\n")


def test_an_upgrade_is_ignored_and_the_request_answered(gateway: RunningGateway) -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n"
    for framed in (
        b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
        b"transfer-encoding: chunked\r\n\r\n" + _chunked(),
    ):
        last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        answer = gateway.raw(CHAT + upgrade + framed + last)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert split(gateway.raw(b"CONNECT x:80 HTTP/1.1\r\nhost: localhost\r\n\r\n"))[0] == 400


def test_who_expects_100_continue_is_told_to(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(
            CHAT + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY)
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert split(receive(connection))[0] == 200


def test_a_thousand_idle_connections_cost_little_and_hinder_nobody(gateway: RunningGateway) -> None:
    def memory_mb() -> float:
        return int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1]) * 4096 / 1e6

    before = memory_mb()
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(1000)]
    for connection in idle[:500]:
        connection.sendall(CHAT)  # half of them have begun a request
    assert gateway.post("/v1/chat/completions", chat())[0] == 200
    assert memory_mb() - before < 60
    for connection in idle:
        connection.close()


def test_slow_clients_are_told_408_and_leave(
    engine: MockEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(server, "BODY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 0.3)
    with RunningGateway(tmp_path, table(arm(engine))) as gateway:
        assert split(gateway.raw(CHAT))[0] == 408
        assert split(gateway.raw(CHAT + b"content-length: 10\r\n\r\nabc"))[0] == 408
        began = time.monotonic()
        assert gateway.raw(b"") == b"", "an idle connection is closed without a word"
        assert time.monotonic() - began < 3


def test_a_client_that_does_not_read_holds_the_engine_back_and_then_loses_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT_S", 0.5)
    with MockEngine() as engine:
        engine.words = ["x" * 20_000] * 2000  # 40 MB
        with RunningGateway(tmp_path, table(arm(engine))) as gateway:
            body = json.dumps(chat(stream=True)).encode()
            with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.sendall(CHAT + b"content-length: %d\r\n\r\n" % len(body) + body)
                end = time.monotonic() + 10
                while not gateway.requests() and time.monotonic() < end:
                    time.sleep(0.05)
            record = gateway.requests()[-1].record
            assert record.outcome == "aborted"
            assert len(gateway.requests()[-1].answer) < 30_000_000, "the engine was not read to its end"
