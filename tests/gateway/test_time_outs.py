"""Engines that are too slow: whose time it was, and who has how much of it."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from flyball.gateway.config import GatewayConfig
from mock_engine import WORDS, MockEngine
from running_gateway import CANARY, QUICK, RunningGateway, arm, chat, table

TEXT = "".join(WORDS)


def test_a_hanging_engine_ends_in_a_504_within_its_time(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("hang"))
    config = GatewayConfig(total_timeout_s=0.5, retries=0, queue_timeout_s=1.0)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=config))
    began = time.monotonic()
    status, headers, body = gateway.post("/v1/chat/completions", chat())
    assert status == 504 and time.monotonic() - began < 1.5
    assert body["error"]["code"] == "engine_error" and headers["x-flyball-request-id"]
    assert gateway.requests()[-1].record.outcome == "error"


@pytest.mark.parametrize("stream", [False, True])
def test_time_for_which_the_gateway_itself_stood_still_is_no_failure_of_an_engine(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    engine = stack.enter_context(MockEngine(delay_s=0.2))
    config = GatewayConfig(first_token_timeout_s=0.5, total_timeout_s=0.5, stall_timeout_s=0.5, retries=0)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=config))
    write, written = os.write, []

    def write_to_a_stalled_disk(descriptor: int, data: bytes) -> int:
        if threading.current_thread() is not threading.main_thread() and not written:
            written.append(len(data))
            time.sleep(0.6)
        return write(descriptor, data)

    def ask() -> None:
        answers.append(gateway.post("/v1/chat/completions", chat(stream=stream))[0])

    answers: list[int] = []
    assert gateway.post("/v1/chat/completions", chat())[0] == 200
    monkeypatch.setattr(os, "write", write_to_a_stalled_disk)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
        time.sleep(0.01)  # the first one's record stalls while the answers to the others come
    for thread in threads:
        thread.join()
    assert written and answers == [200] * 8
    assert {entry.record.outcome for entry in gateway.requests()} == {"ok"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("variant", ["canary", "live"])
def test_who_answers_for_a_release_that_hangs_has_as_much_time_as_any(
    tmp_path: Path, stack: ExitStack, variant: str, stream: bool
) -> None:
    hanging, slow = stack.enter_context(MockEngine("hang")), stack.enter_context(MockEngine(delay_s=0.3))
    arms = {
        "canary": (arm(slow, weight=0.0), arm(hanging, release=CANARY, variant="canary", weight=1.0)),
        "live": (arm(hanging), arm(slow, release=CANARY, variant="previous", weight=0.0)),
    }[variant]
    config = GatewayConfig(first_token_timeout_s=0.4, total_timeout_s=0.4)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=config))
    answer = gateway.client().chat.completions.create(**chat(stream=stream))
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    record = gateway.requests()[-1].record
    assert text == TEXT and record.variant == variant
    assert record.error is not None and record.error.endswith("first token" if stream else "total")
    assert len(hanging.bodies) == 1  # who was too slow is not asked again
    assert record.total_ms > 690


def test_a_stream_by_who_answers_for_another_may_last_beyond_the_time_of_the_first(
    tmp_path: Path, stack: ExitStack
) -> None:
    live, canary = stack.enter_context(MockEngine("slow", delay_s=0.1)), stack.enter_context(MockEngine("hang"))
    arms = (arm(live, weight=0.0), arm(canary, release=CANARY, variant="canary", weight=1.0))
    config = GatewayConfig(first_token_timeout_s=0.5, total_timeout_s=0.1 * len(WORDS) + 0.4)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(*arms), config=config))
    answer = gateway.client().chat.completions.create(**chat(stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in answer) == TEXT
    assert gateway.requests()[-1].record.total_ms > config.total_timeout_s * 1000


def test_a_live_release_that_hangs_alone_is_asked_once(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("hang"))
    gateway = stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=QUICK))
    assert gateway.post("/v1/chat/completions", chat(stream=True))[0] == 504
    assert (len(engine.bodies), gateway.requests()[-1].record.attempts) == (1, 1)
