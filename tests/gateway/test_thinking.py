"""An upstream that thinks aloud is no silent one: its comments go on, and only silence is a time-out."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from flyball.storage.routing import Arm, Endpoint
from mock_engine import MockEngine
from raw_upstream import END, LAST, Asked, RawUpstream, answer, chunk, head, word
from running_gateway import QUICK, RunningGateway, arm, chat, table

PATIENT = replace(QUICK, first_token_timeout_s=0.4, stall_timeout_s=0.4, total_timeout_s=3.0, retries=0)


def arm_of(upstream: RawUpstream, **changes: object) -> Arm:
    point = Endpoint(id=f"raw-{upstream.port}", url=upstream.url, slots=8)
    return replace(arm(release="1" * 64), endpoints=(point,), **changes)


def thinking(*pieces: bytes, every_s: float = 0.15, then: bytes = word("on its way") + LAST) -> RawUpstream:
    def script(_asked: Asked, connection: socket.socket) -> bool | None:
        connection.sendall(head())
        for piece in pieces:
            connection.sendall(chunk(piece) if piece else b"")
            time.sleep(every_s if piece else 1.0)
        connection.sendall(chunk(then) + END if then else b"")
        return bool(then)

    return RawUpstream(script)


def read(gateway: RunningGateway) -> tuple[bytes, float]:
    """The whole streamed answer, and after how long its head came."""
    body = json.dumps(chat(stream=True)).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        began = time.monotonic()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: [::1]\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        data, first = b"", 0.0
        while more := client.recv(65536):
            first = first or time.monotonic() - began
            data += more
    return data, first


def test_only_silence_is_a_time_out_not_thinking(tmp_path: Path, stack: ExitStack) -> None:
    kinds = [b": OPENROUTER PROCESSING\n\n", b":\n\n", b": ping\n", b": ping\r\n\r\n", b"\n\n"]
    engine = stack.enter_context(thinking(*kinds * 2))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=PATIENT))
    text = "".join(
        piece.choices[0].delta.content or "" for piece in gateway.client().chat.completions.create(**chat(stream=True))
    )
    assert text == "on its way"
    record = gateway.requests()[-1].record
    assert (record.outcome, record.error) == ("ok", None)
    assert record.first_token_ms is not None and record.first_token_ms > 1000, "a comment is no token"


def test_comments_reach_the_client_while_the_upstream_thinks(tmp_path: Path, stack: ExitStack) -> None:
    comments = (b": one\n\n", b": two\n", b": three\n\n", b": four\n\n", b": five\n\n")
    engine = stack.enter_context(thinking(*comments, every_s=0.3))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=PATIENT))
    data, first_s = read(gateway)
    assert 0.9 < first_s < 1.4, "the head leaves before the first event"
    assert data.index(b": one\n\n") < data.index(b": two\n\n") < data.index(b"on its way") and b"[DONE]" in data


def test_a_comment_and_data_in_one_event_are_an_event(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(thinking(then=b": here it is\n" + word("on its way") + LAST))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=PATIENT))
    data, _ = read(gateway)
    assert b": here it is\ndata: " in data and b"on its way" in data
    assert gateway.requests()[-1].answer == "on its way"


def test_another_answers_for_one_that_fails_while_its_comments_are_held(tmp_path: Path, stack: ExitStack) -> None:
    bad = stack.enter_context(thinking(b": ping\n\n", then=b'data: {"error": {"message": "no provider"}}\n\n'))
    good = stack.enter_context(MockEngine("ok"))
    found = table(replace(arm_of(bad), endpoints=(*arm_of(bad).endpoints, *arm(good).endpoints)))
    gateway = stack.enter_context(RunningGateway(tmp_path, found, config=replace(PATIENT, retries=2)))
    for _ in range(2):
        assert b"parcel" in read(gateway)[0]
    assert all(entry.record.outcome == "ok" for entry in gateway.requests())


def test_one_that_thinks_aloud_for_ever_is_cut_at_the_total_time(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(thinking(*[b": ping\n\n"] * 20, every_s=0.1, then=b""))
    config = replace(PATIENT, total_timeout_s=1.5)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=config))
    data, _ = read(gateway)
    assert b"stream_cut" in data
    assert gateway.requests()[-1].record.error == "first token"


def test_one_that_falls_silent_after_its_comments_is_cut(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(thinking(*[b": ping\n\n"] * 4, b"", every_s=0.3))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=PATIENT))
    data, _ = read(gateway)
    assert b"stream_cut" in data and b"on its way" not in data
    assert gateway.requests()[-1].record.error == "first token"


def test_blank_lines_before_a_plain_answer_are_no_error(tmp_path: Path, stack: ExitStack) -> None:
    def script(_asked: Asked, connection: socket.socket) -> None:
        connection.sendall(head(kind="application/json"))
        for piece in (b"\n", b"\n\n", answer()):
            connection.sendall(chunk(piece))
            time.sleep(0.05)
        connection.sendall(END)

    engine = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm_of(engine)), config=PATIENT))
    assert gateway.client().chat.completions.create(**chat()).choices[0].message.content == "on its way"
