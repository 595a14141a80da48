"""Hostile clients: the right status, bounded memory, and an ordinary client beside them that notices nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_process import Bystander, EdgeProcess, edge_process
from mock_engine import MockEngine
from running_gateway import arm, chat, table

BODY = json.dumps(chat()).encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
WHOLE = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
BEHIND = b"GET /behind HTTP/1.1\r\nhost: localhost\r\n\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def worker(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    folder = tmp_path_factory.mktemp("edge")
    with (
        edge_process(folder, table(arm(engine, slots=64)), max_body_bytes=200_000) as running,
        Bystander(running.port, BODY) as bystander,
    ):
        yield running
        bystander.check()
        assert running.rss_mb < 200


def request(line: bytes, headers: bytes = b"host: localhost\r\n", body: bytes = b"") -> bytes:
    return line + b"\r\n" + headers + b"\r\n" + body


REFUSED: dict[str, tuple[bytes, int]] = {
    # one length or chunks, and nothing that another reader could take for the other (RFC 9112, sections 6 and 11.2)
    "CL.TE": (POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n5c\r\n0\r\n\r\n", 400),
    "TE.CL": (CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n", 400),
    "TE.TE hidden by a tab": (POST + b"transfer-encoding:\tchunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n", 400),
    "TE with a vertical tab": (POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "TE with a blank before its colon": (POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "TE in two values": (POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "TE quoted": (POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "TE in HTTP/1.0": (request(b"POST / HTTP/1.0", b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "CL twice": (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", 400),
    "CL list": (POST + b"content-length: 5,5\r\n\r\nabcde", 400),
    "CL with letters": (POST + b"content-length: 5x\r\n\r\nabcde", 400),
    "CL beyond 64 bits": (POST + b"content-length: 99999999999999999999999\r\n\r\n", 400),
    "CL in other digits": (POST + "content-length: ٥\r\n\r\nabcde".encode(), 400),
    "CL empty": (POST + b"content-length:\r\n\r\n", 400),
    # lines
    "obs-fold": (POST + b"x-a: b\r\n\tc: d\r\ncontent-length: 0\r\n\r\n", 400),
    "obs-fold of the first header": (b"GET /healthz HTTP/1.1\r\n host: localhost\r\n\r\n", 400),
    "bare LF between headers": (b"GET /healthz HTTP/1.1\r\nhost: x\nx-a: b\r\n\r\n", 400),
    "bare LF at the end": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\n", 400),
    "bare CR in a value": (POST + b"x-a: b\rc\r\ncontent-length: 0\r\n\r\n", 400),
    "blank before the colon": (POST + b"content-length : 5\r\n\r\nabcde", 400),
    "no colon": (POST + b"content-length\r\n\r\n", 400),
    "no name": (POST + b": 5\r\n\r\n", 400),
    "brackets in a name": (POST + b"x(a): 5\r\n\r\n", 400),
    "NUL in a value": (POST + b"x-a: a\0b\r\n\r\n", 400),
    "NUL in a name": (POST + b"x\0a: b\r\n\r\n", 400),
    "NUL in the target": (request(b"GET /health\0z HTTP/1.1"), 400),
    "blank in the target": (request(b"GET /health z HTTP/1.1"), 400),
    "two hosts": (request(b"GET /healthz HTTP/1.1", b"host: a\r\nhost: b\r\n"), 400),
    "no host": (request(b"GET /healthz HTTP/1.1", b"x-a: b\r\n"), 400),
    # versions and targets
    "HTTP/0.9": (b"GET /healthz\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2.0 in a line": (request(b"GET /healthz HTTP/2.0"), 400),
    "HTTP/1.9": (request(b"GET /healthz HTTP/1.9"), 400),
    "no such version": (request(b"GET /healthz HTTP/x"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, 400),
    "authority-form": (request(b"CONNECT x:80 HTTP/1.1"), 400),
    "unknown method": (request(b"BREW /healthz HTTP/1.1"), 400),
    # chunks
    "chunk size without end": (CHUNKED + b"\r\n" + b"0" * 1_000_000, 400),
    "chunk extension without end": (CHUNKED + b"\r\n5;" + b"a" * 1_000_000, 400),
    "chunk size with a sign": (CHUNKED + b"\r\n+5\r\nabcde\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400),
    "chunk size with a blank": (CHUNKED + b"\r\n5 \r\nabcde\r\n0\r\n\r\n", 400),
    "chunk with a bare LF": (CHUNKED + b"\r\n5\nabcde\n0\n\n", 400),
    "chunk longer than said": (CHUNKED + b"\r\n5\r\nabcdefgh\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"\r\nfffffffffffffffff\r\n", 400),
    "endless trailers": (CHUNKED + b"\r\n0\r\n" + b"x-t: 1\r\n" * 20_000 + b"\r\n", 431),
    # sizes
    "target too long": (request(b"GET /" + b"a" * 100_000 + b" HTTP/1.1"), 431),
    "header too long": (POST + b"x-a: " + b"b" * 100_000 + b"\r\n\r\n", 431),
    "header name too long": (POST + b"x" * 100_000 + b": b\r\n\r\n", 431),
    "too many headers": (POST + b"".join(b"x-%d: b\r\n" % n for n in range(5000)) + b"\r\n", 431),
    "said to be too large": (POST + b"content-length: 200001\r\n\r\n", 413),
    "chunks too large": (CHUNKED + b"\r\n" + b"8000\r\n" + b"a" * 32768 + b"\r\n" + b"40000\r\n" + b"b" * 262_144, 413),
    "compressed": (POST + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", 415),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_request_is_refused_and_ends_its_connection(worker: EdgeProcess, name: str) -> None:
    data, status = REFUSED[name]
    answer = worker.raw(data + BEHIND, timeout_s=2.5)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in answer and answer.count(b"HTTP/1.1 404") == 0, "nothing behind it is answered"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


ANSWERED: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "absolute-form": (request(b"GET http://other.example/healthz HTTP/1.1"), (200,)),
    "absolute-form without a path": (request(b"GET http://other.example HTTP/1.1"), (404,)),
    "asterisk-form": (request(b"OPTIONS * HTTP/1.1"), (404, 405)),
    "dot segments": (request(b"GET /v1/../healthz HTTP/1.1"), (404,)),
    "encoded path": (request(b"GET /%68ealthz HTTP/1.1"), (404,)),
    "letters beyond ASCII in the target": (request("GET /é HTTP/1.1".encode()), (400, 404)),
    "bytes beyond ASCII in a value": (
        request(b"GET /healthz HTTP/1.1", b"host: localhost\r\nx-a: \xff\xfe\r\n"),
        (200,),
    ),
    "zeros before a length": (POST + b"content-length: 000%d\r\n\r\n" % len(BODY) + BODY, (200,)),
    "chunks with extensions": (
        CHUNKED + b"\r\n%x;a=b;c\r\n%b\r\n0;d\r\n\r\n" % (len(BODY), BODY),
        (200,),
    ),
    "a body that a GET may have": (
        request(b"GET /healthz HTTP/1.1", b"host: localhost\r\ncontent-length: 2\r\n", b"ab"),
        (200,),
    ),
    "an empty line first": (b"\r\n" + WHOLE, (200,)),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_odd_but_plain_is_answered_and_what_follows_too(worker: EdgeProcess, name: str) -> None:
    data, statuses = ANSWERED[name]
    answers = worker.raw(data + b"GET /behind HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").split(
        b"HTTP/1.1 "
    )[1:]
    assert int(answers[0][:3]) in statuses, answers
    if answers[0][:3] != b"400":
        assert len(answers) == 2 and answers[1].startswith(b"404"), "in the same connection, in order"


BODIES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "deep lists": (b"[" * 90_000 + b"]" * 90_000, (400,)),
    "deep objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, (400,)),
    "deep messages": (b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", (400,)),
    "a number beyond doubles": (b'{"messages": [], "temperature": 1e999}', (200, 400)),
    "a number of 50,000 digits": (b'{"messages": [], "max_tokens": ' + b"9" * 50_000 + b"}", (200, 400)),
    "a number of 30 digits": (b'{"messages": [], "max_tokens": ' + b"9" * 30 + b"}", (200, 400)),
    "a negative limit": (b'{"messages": [], "max_tokens": -5, "n": -1}', (200, 400)),
    "NaN": (b'{"messages": [], "temperature": NaN}', (400,)),
    "bytes that are no UTF-8": (b'{"messages": [{"role": "user", "content": "\xc3\x28"}]}', (400,)),
    "an overlong NUL": (b'{"messages": [{"role": "user", "content": "\xc0\x80"}]}', (400,)),
    "a lone surrogate": (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', (200, 400)),
    "UTF-16": (json.dumps(chat()).encode("utf-16"), (400,)),
    "a byte order mark": (b"\xef\xbb\xbf" + BODY, (400,)),
    "keys twice": (b'{"messages": [], "model": "shop", "model": "nobody"}', (200, 404)),
    "a NUL in a text": (b'{"messages": [{"role": "user", "content": "a\\u0000b"}], "user": "\\u0000"}', (200, 400)),
    "JSON and more": (BODY + b"{}", (400,)),
    "200 kB of blanks": (b" " * 199_000, (400,)),
    "messages of the wrong kind": (b'{"messages": {"role": "user"}, "stream": "yes", "stream_options": 5}', (200, 400)),
    "a model that is a list": (b'{"messages": [], "model": ["shop"]}', (400,)),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/feedback"])
def test_no_body_whatever_is_a_500(worker: EdgeProcess, path: str, name: str) -> None:
    body, statuses = BODIES[name]
    answer = worker.raw(
        b"POST %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        % (path.encode(), len(body))
        + body
    )
    expected = (400,) if path == "/v1/feedback" else statuses
    assert int(answer[9:12]) in expected, answer[:300]


def test_a_flood_of_pipelined_requests_is_bounded(worker: EdgeProcess) -> None:
    before = worker.rss_mb
    answers = [worker.raw(WHOLE * 2000, timeout_s=2.0) for _ in range(5)]
    assert all(b"too_many_pipelined" in answer for answer in answers)
    assert worker.rss_mb - before < 30


SLOW = {"HEADER_TIMEOUT_S": 0.6, "BODY_TIMEOUT_S": 0.8, "IDLE_TIMEOUT_S": 1.0, "SEND_TIMEOUT_S": 0.8}


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n", b"x-a: b\r\n"),
        (POST + b"content-length: 100000\r\n\r\n", b"a"),
        (CHUNKED + b"\r\n", b"1\r\na\r\n"),
    ],
    ids=["headers", "body", "chunks"],
)
def test_clients_that_drip_are_told_408_in_time(tmp_path: Path, engine: MockEngine, begin: bytes, drip: bytes) -> None:
    with (
        edge_process(tmp_path, table(arm(engine)), constants=SLOW) as worker,
        Bystander(worker.port, BODY) as bystander,
    ):
        clients = [worker.connect() for _ in range(40)]
        for client in clients:
            client.sendall(begin)
        began, answers = time.monotonic(), [b""] * len(clients)
        while not all(answers) and time.monotonic() - began < 6:
            for number, client in enumerate(clients):
                if not answers[number]:
                    answers[number] = _drip(client, drip)
            time.sleep(0.05)
        assert time.monotonic() - began < 3, "a byte now and then does not keep a connection"
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers), answers[:3]
        for client in clients:
            client.close()
    bystander.check()


def _drip(client: socket.socket, data: bytes) -> bytes:
    client.settimeout(0.001)
    try:
        client.sendall(data)
        return client.recv(4096)
    except TimeoutError:
        return b""
    except ConnectionError:
        return b"reset"


def test_clients_that_do_not_read_hold_little_and_lose_their_answers(tmp_path: Path) -> None:
    with MockEngine() as engine:
        engine.words = ["x" * 20_000] * 200  # 4 MB
        with (
            edge_process(tmp_path, table(arm(engine, slots=64)), constants=SLOW) as worker,
            MockEngine() as other,
        ):
            body = json.dumps(chat(stream=True)).encode()
            before = worker.rss_mb
            clients = []
            for _ in range(30):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", worker.port))
                client.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
                clients.append(client)
            most, end = before, time.monotonic() + 3
            while time.monotonic() < end:
                most = max(most, worker.rss_mb)
                time.sleep(0.05)
            assert most - before < 80, "120 MB of answers are held back, in the engine"
            with worker.connect() as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                text = b"".join(iter(lambda: client.recv(65536), b""))
            assert b'outcome="aborted"' in text and other.port
            for client in clients:
                client.close()


def test_a_thousand_idle_connections_are_cheap(worker: EdgeProcess) -> None:
    before = worker.rss_mb
    idle = [worker.connect() for _ in range(1000)]
    for client in idle[::2]:
        client.sendall(POST)
    time.sleep(0.3)
    assert worker.rss_mb - before < 30
    assert worker.raw(WHOLE.replace(b"host: localhost", b"host: localhost\r\nconnection: close")).startswith(
        b"HTTP/1.1 200 "
    )
    for client in idle:
        client.close()


def test_more_connections_than_fit_keep_nobody_out(tmp_path: Path, engine: MockEngine) -> None:
    with edge_process(tmp_path, table(arm(engine)), files=400) as worker, Bystander(worker.port, BODY) as bystander:
        crowd = [worker.connect() for _ in range(600)]
        for _ in range(600):  # and again, as those that were cut come back
            crowd.append(worker.connect())
            crowd.pop(0).close()
        time.sleep(0.5)
        files = len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))
        assert files < 300, "a worker keeps descriptors for its engines, segments and ledger"
        for client in crowd:
            client.close()
    bystander.check()


def test_where_every_connection_is_at_work_one_more_is_told_503(tmp_path: Path) -> None:
    with MockEngine("hang") as engine, edge_process(tmp_path, table(arm(engine, slots=64)), files=160) as worker:
        busy = [worker.connect() for _ in range(16)]
        for client in busy:
            client.sendall(WHOLE)
        end = time.monotonic() + 5
        while engine.active < 16 and time.monotonic() < end:
            time.sleep(0.02)
        answer = worker.raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer
        for client in busy:
            client.close()


def test_bodies_of_all_clients_together_are_bounded_and_the_largest_gives_way(
    tmp_path: Path, engine: MockEngine
) -> None:
    constants = {"MAX_HELD_BYTES": 8_000_000}
    with (
        edge_process(tmp_path, table(arm(engine)), constants=constants, max_body_bytes=1_000_000) as worker,
        Bystander(worker.port, BODY) as bystander,
    ):
        before, greedy, told = worker.rss_mb, [], 0
        for _ in range(40):
            client = worker.connect()
            client.sendall(POST + b"content-length: 1000000\r\n\r\n" + b"x" * 999_000)
            greedy.append(client)
        time.sleep(0.3)
        assert worker.rss_mb - before < 30, "40 MB were sent, 8 MB may be held"
        for client in greedy:
            client.settimeout(0.05)
            with contextlib.suppress(TimeoutError, ConnectionError):
                told += client.recv(4096).startswith(b"HTTP/1.1 503 ")
            client.close()
        assert told > 20
    bystander.check()


def test_a_body_that_grows_in_memory_is_counted_as_what_it_grows_to(tmp_path: Path) -> None:
    with (
        MockEngine("hang") as engine,
        edge_process(tmp_path, table(arm(engine, slots=64)), constants={"MAX_HELD_BYTES": 30_000_000}) as worker,
    ):
        body = b'{"model": "shop", "messages": [' + b"{}," * 100_000 + b"{}]}"  # 300 kB, 6.4 MB as Python's objects
        before, clients = worker.rss_mb, []
        for _ in range(20):
            client = worker.connect()
            client.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
            clients.append(client)
        end = time.monotonic() + 3
        while engine.active < 1 and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        assert worker.rss_mb - before < 60
        for client in clients:
            client.close()
