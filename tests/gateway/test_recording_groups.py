"""Answers that come in one turn of the gateway's loop are recorded with one write, and each is still its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.server import Connection
from flyball.gateway.recording.segment_format import RequestEntry
from mock_engine import MockEngine
from record_samples import request_record
from running_gateway import RunningGateway, arm, chat, table

AT_ONCE = 6
Answer = tuple[int, dict[str, str], Any]
Write = Callable[[int, bytes], int]


def in_one_turn(gateway: RunningGateway, engine: MockEngine, ask: Callable[[int], Answer]) -> list[Answer]:
    """Ask AT_ONCE times; the gateway's loop stands still until every answer of the engine has come."""
    loop = gateway._loop
    assert loop is not None
    asked, answered = len(engine.bodies), engine.delay_s
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [pool.submit(ask, number) for number in range(AT_ONCE)]
        while len(engine.bodies) < asked + AT_ONCE:
            time.sleep(0.002)
        loop.call_soon_threadsafe(time.sleep, answered + 0.3)
        return [one.result() for one in asking]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every write to a segment."""
    sizes, real = [], os.write

    def watched(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return real(fd, data)

    monkeypatch.setattr("flyball.gateway.recording.segment_writer.os.write", watched)
    return sizes


def post(gateway: RunningGateway, text: str = "where is my parcel?", **changes: Any) -> Answer:
    return gateway.post("/v1/chat/completions", {**chat(**changes), "messages": [{"role": "user", "content": text}]})


def test_one_write_for_all_answers_of_a_turn_and_a_record_of_each(tmp_path: Path, writes: list[int]) -> None:
    with MockEngine(delay_s=0.2) as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway:
        post(gateway)  # opens the segment
        writes.clear()
        answers = in_one_turn(gateway, engine, lambda number: post(gateway, f"number {number}"))
        assert [status for status, _, _ in answers] == [200] * AT_ONCE
        assert len(writes) == 1, "of six records"
        recorded = {entry.record.id: entry.messages[0]["content"] for entry in gateway.requests()[1:]}
        said = {headers["x-flyball-request-id"]: f"number {number}" for number, (_, headers, _) in enumerate(answers)}
        assert recorded == said


def half(real: Write, fd: int, data: bytes) -> int:
    return real(fd, data[: len(data) // 2])  # what a full disk does


def bug(real: Write, fd: int, data: bytes) -> int:
    raise RuntimeError("a bug of ours")


@pytest.mark.parametrize("failure", [half, bug])
@pytest.mark.parametrize(("on_failure", "status"), [("serve", 200), ("refuse", 503)])
def test_a_group_that_cannot_be_written_is_said_of_each_answer(
    on_failure: str,
    status: int,
    failure: Callable[[Write, int, bytes], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = GatewayConfig(recording=RecordingConfig(on_failure=on_failure))  # type: ignore[arg-type]
    with (
        MockEngine(delay_s=0.2) as engine,
        RunningGateway(tmp_path, table(arm(engine)), config=config) as gateway,
    ):
        post(gateway)
        monkeypatch.setattr("flyball.gateway.recording.segment_writer.os.write", partial(failure, os.write))
        answers = in_one_turn(gateway, engine, lambda _: post(gateway))
        monkeypatch.undo()
        assert [answer[0] for answer in answers] == [status] * AT_ONCE
        assert {headers["x-flyball-recording"] for _, headers, _ in answers} == {"failed"}
        assert len(gateway.requests()) == 1, "not half of one"
        assert b'recording_failures_total{kind="request",worker="0"} 6' in gateway.get("/metrics")[2]


class Wire:
    """A client's transport that takes everything."""

    def __init__(self) -> None:
        self.ended = False

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None:
        self.ended = True

    def resume_reading(self) -> None:
        pass


def test_what_goes_wrong_with_one_of_a_group_goes_wrong_with_no_other(tmp_path: Path) -> None:
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway:
        assert gateway.gateway is not None and gateway._loop is not None
        state, edge = gateway.gateway.state, gateway.gateway.edge
        wires, told, done = [Wire() for _ in range(4)], {}, threading.Event()
        entries = [RequestEntry(record=request_record(), messages=said, answer="") for said in ([], [object()], [], [])]

        def tell(number: int, recorded: bool) -> None:
            told[number] = recorded
            if number == 2:
                raise RuntimeError("a bug of ours")

        def begin() -> None:
            for number, entry in enumerate(entries):
                connection = Connection(edge)
                connection.transport = wires[number]
                exchange = connection.current = Exchange(connection)
                exchange.state = "waiting"
                state.record_then(entry, exchange, partial(tell, number))
            assert state.busy == 4
            gateway._loop.call_soon(done.set)  # type: ignore[union-attr]

        gateway._loop.call_soon_threadsafe(begin)
        assert done.wait(5)
        assert told == {0: True, 1: False, 2: True, 3: True}, "the second has no form on disk"
        assert [wire.ended for wire in wires] == [False, False, True, False], "the third is cut, not left waiting"
        assert [entry.record.id for entry in gateway.requests()] == [entries[number].record.id for number in (0, 2, 3)]
        assert state.busy == 0
        page = gateway.get("/metrics")[2]
        assert b'internal_errors_total{worker="0"} 1' in page
        assert b'recording_failures_total{kind="request",worker="0"} 1' in page


def test_who_went_away_meanwhile_is_recorded_once(tmp_path: Path) -> None:
    with MockEngine(delay_s=0.2) as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway:
        connections = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(AT_ONCE)]
        body = b'{"model": "shop", "messages": [{"role": "user", "content": "hello"}]}'
        for connection in connections:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
        while len(engine.bodies) < AT_ONCE:
            time.sleep(0.002)
        assert gateway._loop is not None
        still = threading.Event()
        gateway._loop.call_soon_threadsafe(lambda: (still.set(), time.sleep(0.5)))
        assert still.wait(5)
        time.sleep(0.3)  # the answers have come; now the clients go, and the gateway sees both in one turn
        for connection in connections:
            connection.close()
        end = time.monotonic() + 5
        while len(gateway.requests()) < AT_ONCE and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        ids = [entry.record.id for entry in gateway.requests()]
        assert len(ids) == len(set(ids)) == AT_ONCE
        assert post(gateway)[0] == 200
