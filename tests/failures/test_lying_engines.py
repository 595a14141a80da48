"""Engines that lie about lengths, headers, encodings and ends: no client gets what is not its answer."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge_process import edge_process
from flyball.gateway.config import GatewayConfig
from flyball.storage.routing import RoutingTable
from mock_engine import WORDS, MockEngine
from running_gateway import RunningGateway, arm, chat, table

TEXT = "".join(WORDS)
QUICK = GatewayConfig(
    connect_timeout_s=0.5,
    first_token_timeout_s=0.5,
    stall_timeout_s=0.5,
    total_timeout_s=2.0,
    queue_timeout_s=2.0,
    drain_s=1.0,
    retries=1,
)
Step = bytes | float | None
"""Bytes to send, seconds to wait, None: close."""


@dataclass
class Script:
    """A server that reads a request and then plays its steps, whatever was asked; `forever` repeats the last one."""

    steps: list[Step]
    forever: bool = False
    asked: int = 0
    port: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Script:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self.stop.is_set():
                connection, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while _request(connection):
                self.asked += 1
                for step in self.steps:
                    if step is None:
                        return
                    if isinstance(step, float):
                        time.sleep(step)
                    else:
                        connection.sendall(step)
                while self.forever and not self.stop.is_set():
                    connection.sendall(self.steps[-1])  # type: ignore[arg-type]


def _request(connection: socket.socket) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return False
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return True


def routes(script: Script, *others: MockEngine) -> RoutingTable:
    """The script's server first, then engines that answer well."""
    if others:
        made = table(arm(*others, *others[:1]))
    else:
        with MockEngine() as any_engine:
            made = table(arm(any_engine))
    live = made.routes[0].arms[0]
    point = msgspec.structs.replace(live.endpoints[0], id="script", url=f"http://127.0.0.1:{script.port}", slots=64)
    return table(msgspec.structs.replace(live, endpoints=(point, *live.endpoints[1:])))


def answer(text: str = "whose?", **more: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], **more}).encode()


def plain(body: bytes, *headers: bytes, length: int | None = None, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    size = len(body) if length is None else length
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n" % (status, lines, size) + body
    )


def event(text: str, end: bytes = b"\n\n") -> bytes:
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": None, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + end


def finish(end: bytes = b"\n\n") -> bytes:
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]}
    return b"data: " + json.dumps(chunk).encode() + end + b"data: [DONE]" + end


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


BAD_ANSWERS: dict[str, list[Step]] = {
    "a length shorter than the body": [plain(answer(), length=20)],
    "a length longer than the body": [plain(answer(), length=5000), None],
    "two lengths": [plain(answer(), b"content-length: 7")],
    "a length and chunks": [plain(answer(), b"transfer-encoding: chunked")],
    "a negative length": [plain(answer(), length=-1)],
    "chunks of no size": [STREAM.replace(b"event-stream", b"plain") + b"zz\r\n"],
    "chunks that end early": [STREAM.replace(b"event-stream", b"plain") + chunk(answer())[:40], None],
    "a header without end": [b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 200_000],
    "headers without end": [b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000],
    "a status line without end": [b"HTTP/1.1 200 " + b"O" * 200_000],
    "a status of four digits": [b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "another version": [b"HTTP/3.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "bare line feeds": [plain(answer()).replace(b"\r\n", b"\n")],
    "1xx without end": [b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000],
    "1xx and nothing": [b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n", None],
    "101 to another protocol": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"],
    "204": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "304": [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "a way elsewhere": [plain(b"", b"location: http://other.example/", status=b"302 Found")],
    "529": [plain(b"{}", status=b"529 Overloaded")],
    "compressed": [plain(b"\x1f\x8b\x08\x00 gzip", b"content-encoding: gzip")],
    "a compressed stream": [STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: br\r\n\r\n") + chunk(b"\x0b\x02\x80")],
    "an empty body": [plain(b"")],
    "no JSON": [plain(b"<html>welcome</html>")],
    "an error with status 200": [plain(b'{"error": {"message": "out of memory"}}')],
    "a body without end": [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b"x" * 1_000_000],
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_lie_is_a_failure_of_the_engine_and_another_one_answers(tmp_path: Path, stack: ExitStack, name: str) -> None:
    script = stack.enter_context(Script(BAD_ANSWERS[name], forever=name == "a body without end"))
    good = stack.enter_context(MockEngine())
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script, good), config=QUICK))
    began = time.monotonic()
    statuses = [gateway.post("/v1/chat/completions", chat()) for _ in range(4)]
    assert script.asked >= 1, "it was asked"
    assert [status for status, _, _ in statuses] == [200] * 4
    assert all(body["choices"][0]["message"]["content"] == TEXT for _, _, body in statuses)
    assert time.monotonic() - began < 12
    assert {entry.record.outcome for entry in gateway.requests()} == {"ok"}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_where_there_is_no_other_engine_a_lie_is_a_502_or_504_in_time(
    tmp_path: Path, stack: ExitStack, name: str
) -> None:
    script = stack.enter_context(Script(BAD_ANSWERS[name], forever=name == "a body without end"))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    status, headers, body = gateway.post("/v1/chat/completions", chat())
    if name == "529":
        assert status == 529 and headers["retry-after"] == "1"  # it has too much to do, and says so itself
    else:
        assert status in (502, 504) and body["error"]["code"] == "engine_error" and headers["retry-after"] == "1"
    assert gateway.requests()[-1].record.outcome == "error"


ODD_ANSWERS = {
    "JSON of another kind": b'{"choices": 5}',
    "no choices": b'{"choices": []}',
    "null": b"null",
    "bytes that are no UTF-8": answer().replace(b"whose", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_an_odd_answer_is_passed_on_byte_for_byte_once(tmp_path: Path, stack: ExitStack, name: str) -> None:
    script = stack.enter_context(Script([plain(ODD_ANSWERS[name])]))
    good = stack.enter_context(MockEngine())
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script, good), config=QUICK))
    raw = gateway.raw(_posted(chat()))
    assert raw.startswith(b"HTTP/1.1 200 ") and raw.endswith(
        ODD_ANSWERS[name].replace(b'"model": "m"', b'"model":"shop"')
    )
    assert script.asked == 1 and not good.bodies
    assert gateway.requests()[-1].record.outcome == "ok"


OTHER_FIELDS = {
    "an interim answer's": b"HTTP/1.1 103 Early Hints\r\n%b\r\n" + plain(answer()),
    "a trailer's": STREAM.replace(b"event-stream", b"plain") + chunk(answer()) + b"0\r\n%b\r\n",
}


@pytest.mark.parametrize("field", [b"content-encoding: gzip\r\n", b"content-encoding: zz\r\n", b"x-request-id: 7\r\n"])
@pytest.mark.parametrize("name", OTHER_FIELDS)
def test_fields_of_a_head_are_those_of_the_answer_itself(
    tmp_path: Path, stack: ExitStack, name: str, field: bytes
) -> None:
    script = stack.enter_context(Script([OTHER_FIELDS[name] % field]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    status, headers, body = gateway.post("/v1/chat/completions", chat())
    assert (status, script.asked) == (200, 1) and body["choices"] and "x-request-id" not in headers


@pytest.mark.parametrize("status", [307, 600, 999])
def test_a_status_that_the_libraries_of_clients_do_not_know_is_a_502(
    tmp_path: Path, stack: ExitStack, status: int
) -> None:
    script = stack.enter_context(Script([plain(b'{"error": {"message": "no"}}', status=b"%d Odd" % status)]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    found, _, body = gateway.post("/v1/chat/completions", chat())
    assert found == 502 and body["error"]["message"] == "no"


def test_what_an_engine_does_not_do_is_told_once_and_says_nothing_of_its_health(
    tmp_path: Path, stack: ExitStack
) -> None:
    script = stack.enter_context(Script([plain(b"{}", status=b"501 Not Implemented")]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    for asked in range(1, 6):
        assert gateway.post("/v1/chat/completions", chat())[0] == 501
        assert script.asked == asked
    assert gateway.get("/readyz")[0] == 200


@pytest.mark.parametrize("status", [520, 529, 599])
def test_a_status_that_no_standard_knows_is_passed_on(tmp_path: Path, stack: ExitStack, status: int) -> None:
    body = b'{"error": {"message": "no"}}'
    script = stack.enter_context(Script([plain(body, status=b"%d Odd" % status)]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    assert gateway.post("/v1/chat/completions", chat())[0] == status


def _posted(body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(data), data)


GOOD_STREAMS: dict[str, list[Step]] = {
    "line ends of CRLF": [STREAM + chunk(event("ä", b"\r\n\r\n")) + chunk(finish(b"\r\n\r\n")) + b"0\r\n\r\n"],
    "line ends of CR": [STREAM + chunk(event("ä", b"\r\r")) + chunk(finish(b"\r\r")) + b"0\r\n\r\n"],
    "CRLF cut in two": [
        STREAM + chunk(event("ä", b"\r")) + chunk(b"\n"),
        0.02,
        chunk(b"\r"),
        0.02,
        chunk(b"\n" + finish(b"\r\n\r\n")) + b"0\r\n\r\n",
    ],
    "bytes one by one, in the middle of a letter": [
        STREAM,
        *(chunk(bytes([byte])) for byte in event("ä€😀") + finish()),
        b"0\r\n\r\n",
    ],
    "several events at once": [STREAM + chunk(event("a") + event("b") + finish()) + b"0\r\n\r\n"],
    "comments before, between and behind": [
        STREAM + chunk(b": alive\n\n" + event("a") + b": alive\n\n" + finish() + b": bye\n\n") + b"0\r\n\r\n"
    ],
    "HTTP/1.0, ended by closing": [
        b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event("a") + finish(),
        None,
    ],
    "a length": [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(event("a") + finish())
        + event("a")
        + finish()
    ],
    "1xx before": [b"HTTP/1.1 103 Early Hints\r\n\r\n" + STREAM + chunk(event("a") + finish()) + b"0\r\n\r\n"],
    "no end after DONE": [STREAM + chunk(event("a") + finish()), 1.5],
    "data behind DONE": [STREAM + chunk(event("a") + finish() + event("more")) + b"0\r\n\r\n"],
}


@pytest.mark.parametrize("name", GOOD_STREAMS)
def test_a_stream_is_read_however_it_is_cut(tmp_path: Path, stack: ExitStack, name: str) -> None:
    script = stack.enter_context(Script(GOOD_STREAMS[name]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    chunks = gateway.client().chat.completions.create(**chat(stream=True))
    text = "".join(one.choices[0].delta.content or "" for one in chunks)
    assert text in ("ä", "ä€😀", "ab", "a")
    entry = gateway.requests()[-1]
    assert (entry.record.outcome, entry.record.attempts, entry.answer) == ("ok", 1, text)


BAD_STREAMS: dict[str, tuple[list[Step], bool]] = {
    "events without end": ([STREAM + chunk(event("a")), 0.1, chunk(event("a"))], True),
    "one event without end": ([STREAM + chunk(event("a")), 0.1, chunk(b"data: " + b"x" * 500_000)], True),
    "alive without end": ([STREAM + chunk(event("a")), 0.1, chunk(b": alive\n\n")], True),
    "silence": ([STREAM + chunk(event("a")), 0.1, 3.0], False),
    "the end of the connection": ([STREAM + chunk(event("a")), 0.1, None], False),
    "no DONE, no reason and no length": (
        [STREAM.replace(b"transfer-encoding: chunked\r\n", b"") + event("a"), 0.1, None],
        False,
    ),
    "an error event": (
        [STREAM + chunk(event("a")), 0.1, chunk(b'data: {"error": "out of memory"}\n\n') + b"0\r\n\r\n"],
        False,
    ),
    "chunks of no size": ([STREAM + chunk(event("a")), 0.1, b"zz\r\n"], False),
}


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_a_stream_that_does_not_end_as_streams_do_is_cut_in_time_and_says_so(
    tmp_path: Path, stack: ExitStack, name: str
) -> None:
    steps, forever = BAD_STREAMS[name]
    script = stack.enter_context(Script(steps, forever=forever))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    body = json.dumps(chat(stream=True)).encode()
    began = time.monotonic()
    raw = gateway.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    assert time.monotonic() - began < 6
    assert b'"content": "a"' in raw and b"stream_cut" in raw and not raw.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in raw
    record = gateway.requests()[-1].record
    assert record.outcome == "cut" and record.completion_tokens >= 1


def test_an_engine_that_only_says_it_is_alive_is_cut_when_the_total_time_is_over(
    tmp_path: Path, stack: ExitStack
) -> None:
    script = stack.enter_context(Script([STREAM, *([chunk(b": alive\n\n"), 0.05] * 60)]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    began = time.monotonic()
    raw = gateway.raw(_posted(chat(stream=True)))
    assert 1.5 < time.monotonic() - began < 4
    assert b": alive" in raw and b"stream_cut" in raw and b"[DONE]" not in raw


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_a_second_answer_to_one_request_is_nobodys(tmp_path: Path, stack: ExitStack, pause_s: float) -> None:
    extra = plain(answer("for somebody else"))
    steps: list[Step] = [plain(answer("mine")) + extra] if not pause_s else [plain(answer("mine")), pause_s, extra]
    script = stack.enter_context(Script(steps))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    for _ in range(6):
        status, _, body = gateway.post("/v1/chat/completions", chat())
        assert status == 200 and body["choices"][0]["message"]["content"] == "mine"
        time.sleep(2 * pause_s)


@pytest.mark.parametrize("count", [10**15, 10**30, -(10**30)])
def test_counts_that_no_answer_has_are_not_believed(tmp_path: Path, stack: ExitStack, count: int) -> None:
    usage = {"prompt_tokens": -5, "completion_tokens": count}
    script = stack.enter_context(Script([plain(answer("mine", usage=usage))]))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(script), config=QUICK))
    assert gateway.post("/v1/chat/completions", chat())[0] == 200
    record = gateway.requests()[-1].record
    assert record.prompt_tokens >= 0 and record.completion_tokens < 2**31 - 1, "it fits the ledger's columns"


@pytest.mark.parametrize("name", ["a header without end", "1xx without end", "a body without end"])
def test_lies_without_end_cost_little_memory(tmp_path: Path, name: str) -> None:
    repeated: Step = {
        "a header without end": b"b" * 1_000_000,
        "1xx without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        "a body without end": b"x" * 1_000_000,
    }[name]
    begin = BAD_ANSWERS[name][0]
    with (
        Script([begin, repeated], forever=True) as script,
        edge_process(tmp_path, routes(script), total_timeout_s=3.0, retries=0) as worker,
    ):
        before, most = worker.rss_mb, 0.0
        body = json.dumps(chat()).encode()
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        for _ in range(3):
            reply = worker.raw(head % len(body) + body, timeout_s=8)
            assert reply[9:12] in (b"502", b"504"), reply[:200]
            most = max(most, worker.rss_mb)
        assert most - before < 150, "one answer at most, of 64 MiB, and what it takes to read it"
