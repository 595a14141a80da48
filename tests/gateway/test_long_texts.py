"""Long texts are prepared beside the worker: alike, without keeping others waiting, through kills and failed starts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.gateway import long_texts
from flyball.gateway.engine_prompt import LONG_BYTES, prompted
from flyball.gateway.long_texts import HelperAway, LongTexts
from flyball.inference.prompt_path import PromptPath
from flyball.records import Constraint, Release
from flyball.storage.routing import RoutingTable
from mock_engine import MockEngine
from running_gateway import QUICK, RunningGateway, arm, chat, release, table

FREE = release(constraint=Constraint(kind="none"))
DENSE = "mail jane@example.com, call +49 170 1234567, card 4111 1111 1111 1111; "
WAITING = msgspec.structs.replace(QUICK, total_timeout_s=60.0, queue_timeout_s=20.0, first_token_timeout_s=20.0)


def routes_of(engine: MockEngine, of: Release = FREE) -> RoutingTable:
    return table(msgspec.structs.replace(arm(engine), prompt_path=of))


def dense(size: int) -> str:
    return (DENSE * (size // len(DENSE) + 1))[:size]


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("gateway"), routes_of(engine), config=WAITING) as running:
        yield running


def helpers(gateway: RunningGateway) -> list[int]:
    assert gateway.gateway is not None
    return gateway.gateway.state.long_texts.pids


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_text_is_prepared_as_a_short_one_is(gateway: RunningGateway, engine: MockEngine, stream: bool) -> None:
    body = chat(dense(20_000), stream=stream, user="C1", ignore_eos=True)
    assert gateway.post("/v1/chat/completions", body)[0] == 200
    expected, _ = prompted(PromptPath(FREE), "chat", body, count=stream)
    assert engine.bodies[-1] == msgspec.json.decode(expected)
    assert "jane@" not in str(engine.bodies[-1]) and len(helpers(gateway)) == 1


def test_what_is_ignored_is_said_and_what_is_wrong_is_refused_as_for_a_short_one(tmp_path: Path) -> None:
    strict = release(constraint=Constraint(kind="none"), request_fields=())
    with MockEngine() as engine, RunningGateway(tmp_path, routes_of(engine, strict), config=WAITING) as gateway:
        for size in (100, 20_000):
            status, headers, _ = gateway.post("/v1/chat/completions", chat(dense(size), ignore_eos=True))
            assert status == 200 and headers["x-flyball-ignored"] == "ignore_eos"
            status, _, body = gateway.post("/v1/chat/completions", chat(dense(size), n=2))
            assert status == 400 and body["error"]["param"] == "n"
            wrong = {"model": "shop", "messages": [{"role": "user", "content": 7, "more": dense(size)}]}
            assert gateway.post("/v1/chat/completions", wrong)[0] == 400


def test_a_long_text_that_a_client_cut_within_an_emoji_is_answered(gateway: RunningGateway) -> None:
    body = b'{"model": "shop", "messages": [{"role": "user", "content": "%b\\\\ud83d"}]}' % dense(20_000).encode()
    assert gateway.post("/v1/chat/completions", body)[0] == 200


def test_one_clients_text_keeps_no_other_waiting(gateway: RunningGateway) -> None:
    answers: list[int] = []
    ended: list[float] = []

    def ask() -> None:
        answers.append(gateway.post("/v1/chat/completions", chat(dense(1_500_000)))[0])
        ended.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    others = []
    while asking.is_alive():
        began = time.monotonic()
        assert gateway.post("/v1/chat/completions", chat("where is my parcel?"))[0] == 200
        others.append((began, time.monotonic()))
    asking.join()
    assert answers == [200]
    assert sum(end < ended[0] for _, end in others) >= 10, "they went on while the long one was being prepared"


def test_a_process_that_is_killed_is_replaced_and_the_text_answered(gateway: RunningGateway) -> None:
    assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200
    (before,) = helpers(gateway)[:1]
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(gateway.post("/v1/chat/completions", chat(dense(1_000_000)))[0])
    )
    asking.start()
    time.sleep(0.1)
    os.kill(before, signal.SIGKILL)
    asking.join()
    assert answers == [200] and before not in helpers(gateway)
    assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200


def test_where_no_process_starts_moderate_texts_are_answered_and_long_ones_refused_with_the_cause(
    tmp_path: Path, engine: MockEngine
) -> None:
    with RunningGateway(tmp_path, routes_of(engine), config=WAITING) as gateway:
        assert gateway.gateway is not None
        gateway.gateway.state.long_texts = LongTexts(("/nowhere/python",))
        assert gateway.post("/v1/chat/completions", chat(dense(40_000)))[0] == 200
        began = time.monotonic()
        status, headers, body = gateway.post("/v1/chat/completions", chat(dense(200_000)))
        assert (status, body["error"]["code"], headers["retry-after"]) == (503, "not_prepared", "5")
        assert "No such file or directory" in body["error"]["message"] and time.monotonic() - began < 5.0
        assert gateway.post("/v1/chat/completions", chat())[0] == 200


def test_a_process_that_ends_at_once_is_no_process(tmp_path: Path, engine: MockEngine) -> None:
    with RunningGateway(tmp_path, routes_of(engine), config=WAITING) as gateway:
        assert gateway.gateway is not None
        gateway.gateway.state.long_texts = LongTexts(("/bin/false",))
        status, _, body = gateway.post("/v1/chat/completions", chat(dense(200_000)))
        assert status == 503 and "ended at its start" in body["error"]["message"]


def test_short_texts_and_releases_without_redaction_start_none(tmp_path: Path, engine: MockEngine) -> None:
    plain = release(constraint=Constraint(kind="none"), input_redaction="none")
    for number, (of, size) in enumerate(((FREE, LONG_BYTES - 200), (plain, 200_000))):
        with RunningGateway(tmp_path / str(number), routes_of(engine, of), config=WAITING) as gateway:
            assert gateway.post("/v1/chat/completions", chat(dense(size)))[0] == 200
            assert helpers(gateway) == []


def test_processes_end_when_nothing_comes_and_with_their_worker(
    tmp_path: Path, engine: MockEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningGateway(tmp_path, routes_of(engine), config=WAITING) as gateway:
        assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200
        (pid,) = helpers(gateway)
    assert _gone(pid)
    monkeypatch.setattr(long_texts, "IDLE_S", 0.1)
    with RunningGateway(tmp_path / "b", routes_of(engine), config=WAITING) as gateway:
        assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200
        end = time.monotonic() + 5
        while helpers(gateway):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200


def _gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_client_that_leaves_takes_nothing_with_it(gateway: RunningGateway) -> None:
    body = msgspec.json.encode(chat(dense(400_000)))
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    gateway.raw(head + body, timeout_s=0.05)
    assert gateway.post("/v1/chat/completions", chat(dense(20_000)))[0] == 200


def test_a_process_that_says_what_nobody_reads_keeps_nobody_waiting() -> None:
    says = "import sys; sys.stdout.buffer.write(b'ready' + bytes([0, 0, 0, 1, 193])); sys.stdout.flush(); input()"

    async def ask() -> None:
        texts = LongTexts((sys.executable, "-c", says))
        try:
            with pytest.raises(HelperAway, match="unexpected form"):
                await asyncio.wait_for(texts.prepare("r", FREE, "chat", b"{}", count=False), 10)
        finally:
            await texts.close()
            await asyncio.sleep(0.1)  # its pipes close

    asyncio.run(ask())
