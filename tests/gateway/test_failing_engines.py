"""Engines that are slow, malformed, hanging or gone: nothing of it reaches a client that could be spared."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from flyball.gateway.config import GatewayConfig
from flyball.storage.routing import publish
from mock_engine import WORDS, MockEngine
from running_gateway import CANARY, LIVE, QUICK, RunningGateway, arm, chat, in_front_of, release, table
from small_shop import eventually

TEXT = "".join(WORDS)


def bad_then_good(mode: str) -> Any:
    return lambda number, _body: mode if number == 1 else "ok"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["drop", "garbage", "html", "truncate", "500", "503", "huge_headers"])
def test_a_failure_before_the_first_byte_is_retried_unseen(
    tmp_path: Path, stack: ExitStack, mode: str, stream: bool
) -> None:
    engine = stack.enter_context(MockEngine(bad_then_good(mode)))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=QUICK))
    answer = gateway.client().chat.completions.create(**chat(stream=stream))
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    record = gateway.requests()[-1].record
    assert (text, record.outcome, record.attempts) == (TEXT, "ok", 2)


@pytest.mark.parametrize("mode", ["hang", "error_event"])
def test_a_stream_without_a_first_token_is_retried_on_another_engine(
    tmp_path: Path, stack: ExitStack, mode: str
) -> None:
    bad, good = stack.enter_context(MockEngine(mode)), stack.enter_context(MockEngine())
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(bad, good)), config=QUICK))
    chunks = list(gateway.client().chat.completions.create(**chat(stream=True)))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == TEXT
    assert len(bad.bodies) == 1


def test_an_engine_that_closes_pooled_connections_costs_no_attempt(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("close_after"))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=QUICK))
    client = gateway.client()
    for _ in range(30):
        assert client.chat.completions.create(**chat()).choices[0].message.content == TEXT
    assert all(entry.record.attempts == 1 for entry in gateway.requests())


def test_an_answer_without_a_length_ends_with_its_connection(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine())
    engine.behaviour = "unframed"
    listener = stack.enter_context(
        _one_shot(b'HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{"choices":[{}]}')
    )
    routes = table(arm(engine))
    point = routes.routes[0].arms[0].endpoints[0]
    point = msgspec.structs.replace(point, url=f"http://127.0.0.1:{listener}")
    routes = table(msgspec.structs.replace(routes.routes[0].arms[0], endpoints=(point,)))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes, config=QUICK))
    assert gateway.post("/v1/chat/completions", chat())[0] == 200


class _one_shot:
    """A server that sends fixed bytes and closes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self.socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self.answer)


@pytest.mark.parametrize("mode", ["cut", "stall", "no_end"])
def test_a_stream_that_breaks_after_its_first_byte_is_cut_and_says_so(
    tmp_path: Path, stack: ExitStack, mode: str
) -> None:
    engine = stack.enter_context(MockEngine(mode))
    answering = msgspec.structs.replace(arm(engine), prompt_path=release())
    gateway = stack.enter_context(RunningGateway(tmp_path, table(answering), config=QUICK))
    with pytest.raises((openai.APIError, openai.APIConnectionError)):
        list(gateway.client().chat.completions.create(**chat(stream=True)))
    entry = gateway.requests()[-1]
    assert entry.record.outcome == "cut" and entry.record.status == 200
    assert entry.answer.startswith("The parcel is") and entry.record.completion_tokens >= 3
    assert entry.record.cost_usd > 0


def test_a_client_that_leaves_stops_the_engine_within_100_ms_and_pays_for_what_it_got(
    tmp_path: Path, stack: ExitStack
) -> None:
    engine = stack.enter_context(MockEngine("slow", delay_s=0.05))
    engine.words = ["word "] * 200
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine))))
    stream = gateway.client().chat.completions.create(**chat(stream=True))
    for _ in range(3):
        next(stream)
    left = time.monotonic()
    stream.response.close()
    _until(lambda: bool(engine.cancelled_at))
    assert engine.cancelled_at[0] - left < 0.1
    _until(lambda: bool(gateway.requests()))
    record = gateway.requests()[-1].record
    assert record.outcome == "aborted" and 3 <= record.completion_tokens < 20
    assert record.prompt_tokens > 0 and record.cost_usd > 0


def test_a_client_that_leaves_before_the_first_byte_stops_the_engine_too(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("hang"))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine))))
    with pytest.raises(openai.APITimeoutError):
        gateway.client(timeout=0.3).chat.completions.create(**chat())
    _until(lambda: bool(engine.cancelled_at) and bool(gateway.requests()))
    assert gateway.requests()[-1].record.outcome == "aborted"


@pytest.mark.parametrize("mode", ["drop", "500", "html", "error_event", "400", "hang"])
def test_a_failing_candidate_fails_no_request_and_is_recorded_as_the_one_that_failed(
    tmp_path: Path, stack: ExitStack, mode: str
) -> None:
    live, canary = stack.enter_context(MockEngine()), stack.enter_context(MockEngine(mode))
    arms = (arm(live, weight=0.0), arm(canary, release=CANARY, variant="canary", weight=1.0))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=QUICK))
    with gateway.client().chat.completions.with_streaming_response.create(**chat(stream=True)) as raw:
        assert raw.status_code == 200
        assert raw.headers["x-flyball-variant"] == "canary"
        assert raw.headers["x-flyball-release"] == LIVE  # who really answered
        assert "[DONE]" in raw.read().decode()
    record = gateway.requests()[-1].record
    assert (record.variant, record.release, record.outcome) == ("canary", CANARY, "error")
    assert record.error is not None and record.error.startswith(f"fallback:{LIVE}:")
    assert record.answered_by == LIVE  # where lineage leads
    assert record.completion_tokens == len(WORDS)


@pytest.mark.parametrize("mode", ["drop", "500", "hang"])
def test_a_failing_live_release_falls_back_on_the_one_before_while_that_is_hot(
    tmp_path: Path, stack: ExitStack, mode: str
) -> None:
    before, live = stack.enter_context(MockEngine()), stack.enter_context(MockEngine(mode))
    arms = (arm(live), arm(before, release=CANARY, variant="previous", weight=0.0))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=QUICK))
    with gateway.client().chat.completions.with_streaming_response.create(**chat(stream=True)) as raw:
        assert raw.status_code == 200
        assert raw.headers["x-flyball-release"] == CANARY
        assert "[DONE]" in raw.read().decode()
    record = gateway.requests()[-1].record
    assert (record.variant, record.release, record.outcome) == ("live", LIVE, "error")
    assert record.error is not None and record.error.startswith(f"fallback:{CANARY}:")


def test_a_request_that_both_arms_refuse_is_nobodys_failure(tmp_path: Path, stack: ExitStack) -> None:
    live, canary = stack.enter_context(MockEngine("400")), stack.enter_context(MockEngine("400"))
    arms = (arm(live, weight=0.0), arm(canary, release=CANARY, variant="canary", weight=1.0))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=QUICK))
    status, _, body = gateway.post("/v1/chat/completions", chat())
    assert status == 400 and body["error"]["message"] == "too long"
    assert gateway.requests()[-1].record.outcome == "refused"


def test_a_canary_that_is_gone_is_put_aside_and_later_tried_again(tmp_path: Path, stack: ExitStack) -> None:
    live, canary = stack.enter_context(MockEngine()), stack.enter_context(MockEngine("drop"))
    arms = (arm(live, weight=0.0), arm(canary, release=CANARY, variant="canary", weight=1.0))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=QUICK))
    client = gateway.client()
    for _ in range(20):
        assert client.chat.completions.create(**chat()).choices[0].message.content == TEXT
    assert len(canary.bodies) <= 5  # three strikes, then hardly a trial
    canary.behaviour = "ok"
    _until(lambda: bool(client.chat.completions.create(**chat())) and gateway.requests()[-1].record.outcome == "ok")


def test_an_engine_that_starts_again_is_waited_for(tmp_path: Path, stack: ExitStack) -> None:
    first = MockEngine()
    first.__enter__()
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(first)), config=QUICK))
    client = gateway.client()
    client.chat.completions.create(**chat())
    first.__exit__()
    again = MockEngine()
    again.port = first.port
    threading.Timer(0.7, lambda: stack.enter_context(again)).start()
    assert client.chat.completions.create(**chat()).choices[0].message.content == TEXT
    assert gateway.requests()[-1].record.outcome == "ok"


def test_slots_bound_what_an_engine_gets_and_the_queue_is_fair_between_keys(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine(delay_s=0.05))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine, slots=2))))
    threads = [threading.Thread(target=gateway.post, args=("/v1/chat/completions", chat())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.most_active == 2
    records = [entry.record for entry in gateway.requests()]
    assert len(records) == 12 and all(record.outcome == "ok" for record in records)
    assert max(record.queue_ms for record in records) > 100


def test_a_wait_for_a_slot_has_an_end(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("hang"))
    config = GatewayConfig(queue_timeout_s=0.3, total_timeout_s=3.0, drain_s=0.1)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine, slots=1)), config=config))
    blocker = threading.Thread(target=gateway.post, args=("/v1/chat/completions", chat()), daemon=True)
    blocker.start()
    _until(lambda: engine.active == 1)
    status, headers, body = gateway.post("/v1/chat/completions", chat())
    assert (status, body["error"]["code"], headers["retry-after"]) == (503, "overloaded", "1")


def test_a_switch_of_releases_under_load_fails_no_request(tmp_path: Path, stack: ExitStack) -> None:
    blue, green = stack.enter_context(MockEngine(delay_s=0.002)), stack.enter_context(MockEngine(delay_s=0.002))
    green.words = ["green"]
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(blue, slots=2))))
    stop, answers = threading.Event(), []

    def load() -> None:
        client = gateway.client()
        while not stop.is_set():
            answers.append(client.chat.completions.create(**chat()).choices[0].message.content)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    for version in range(2, 12):
        side = (green, CANARY) if version % 2 == 0 else (blue, LIVE)
        publish(gateway.routes_path, table(arm(side[0], release=side[1], slots=2), version=version))
        time.sleep(0.15)
    publish(gateway.routes_path, table(arm(green, release=CANARY), version=99))
    switched = time.monotonic()
    _until(lambda: gateway.post("/v1/chat/completions", chat())[1]["x-flyball-release"] == CANARY)
    assert time.monotonic() - switched < 1.0
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {TEXT, "green"}
    assert {entry.record.outcome for entry in gateway.requests()} == {"ok"}


def test_a_broken_routing_table_leaves_the_last_good_one_in_place(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine())
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine))))
    gateway.routes_path.write_text("{ not a table")
    time.sleep(0.3)
    assert gateway.post("/v1/chat/completions", chat())[0] == 200
    gateway.routes_path.unlink()
    time.sleep(0.3)
    assert gateway.post("/v1/chat/completions", chat())[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_limits_its_callers_says_so_itself(tmp_path: Path, stack: ExitStack, stream: bool) -> None:
    engine = stack.enter_context(MockEngine("429"))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=QUICK))
    with pytest.raises(openai.RateLimitError) as limited:
        gateway.client().chat.completions.create(**chat(stream=stream))
    assert limited.value.response.headers["retry-after"] == "17"
    record = gateway.requests()[-1].record
    assert (record.status, record.outcome, record.error) == (429, "error", "status 429")


@pytest.mark.parametrize("stream", [False, True])
def test_servers_answer_in_order_what_those_before_them_could_not(
    tmp_path: Path, stack: ExitStack, stream: bool
) -> None:
    engines = [stack.enter_context(MockEngine(mode)) for mode in ("500", "drop", "ok")]
    routes = in_front_of(*engines)
    gateway = stack.enter_context(RunningGateway(tmp_path, routes, config=QUICK))
    answer = gateway.client().chat.completions.create(**chat(stream=stream))
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    assert text == TEXT
    first, _, third = (arm.release for arm in routes.routes[0].arms)
    record = gateway.requests()[-1].record
    assert (record.release, record.answered_by, record.outcome) == (first, third, "error")
    assert record.error == f"fallback:{third}:status 500"
    engines[0].behaviour = "ok"

    def answered_by_the_first() -> bool:
        gateway.client().chat.completions.create(**chat())
        return gateway.requests()[-1].record.answered_by is None

    eventually(answered_by_the_first, timeout_s=5)  # it is tried again


def test_when_no_server_answers_the_client_hears_of_the_last(tmp_path: Path, stack: ExitStack) -> None:
    engines = [stack.enter_context(MockEngine(mode)) for mode in ("500", "503")]
    routes = in_front_of(*engines)
    gateway = stack.enter_context(RunningGateway(tmp_path, routes, config=QUICK))
    with pytest.raises(openai.InternalServerError) as failed:
        gateway.client().chat.completions.create(**chat())
    assert failed.value.status_code == 502 and "503" in str(failed.value)


def test_draining_finishes_what_is_in_flight_and_takes_nothing_new(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("slow", delay_s=0.05))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine))))
    stream = gateway.client().chat.completions.create(**chat(stream=True))
    first = next(stream).choices[0].delta.content
    gateway.stop_later()
    rest = "".join(c.choices[0].delta.content or "" for c in stream)
    assert first + rest == TEXT
    gateway.stop()
    with pytest.raises(openai.APIConnectionError):
        gateway.client().models.list()
    assert gateway.requests()[-1].record.outcome == "ok"


def test_what_does_not_finish_in_time_to_drain_is_cut_and_recorded(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("slow", delay_s=0.2))
    engine.words = ["word "] * 100
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=GatewayConfig(drain_s=0.2)))
    stream = gateway.client().chat.completions.create(**chat(stream=True))
    next(stream)
    gateway.stop_later()
    with pytest.raises((openai.APIError, openai.APIConnectionError)):
        list(stream)
    gateway.stop()
    assert gateway.requests()[-1].record.outcome == "cut"


def _until(condition: Any, *, seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
