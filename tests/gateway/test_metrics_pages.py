"""A scrape reaches any worker of a port and must tell the numbers of all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from flyball.gateway.config import GatewayConfig
from flyball.gateway.metrics_pages import STALE_S, MetricsPages, merged
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, table

TWO = GatewayConfig(workers=2, drain_s=2.0)


def page(worker: int, value: int, *, about: str = "Requests.") -> bytes:
    return b'# HELP asked_total %b\n# TYPE asked_total counter\nasked_total{worker="%d"} %d\n' % (
        about.encode(),
        worker,
        value,
    )


def eventually(holds: Callable[[], bool], *, timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_samples_of_one_name_stand_together_under_one_head() -> None:
    other = b"# HELP other A gauge.\n# TYPE other gauge\nother 1\n"
    text = merged([page(0, 3) + other, other.replace(b"1", b"2") + page(1, 4, about="Said otherwise by an older one.")])
    assert text == (
        b"# HELP asked_total Requests.\n# TYPE asked_total counter\n"
        b'asked_total{worker="0"} 3\nasked_total{worker="1"} 4\n'
        b"# HELP other A gauge.\n# TYPE other gauge\nother 1\nother 2\n"
    )


def test_either_worker_tells_of_both_and_one_that_ended_is_not_told_of(tmp_path: Path) -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(MockEngine())
        workers = [
            stack.enter_context(RunningGateway(tmp_path, table(arm(engine)), config=TWO, worker=number))
            for number in range(2)
        ]
        for number, worker in enumerate(workers):
            for _ in range(number + 2):
                worker.client().chat.completions.create(**chat())

        def told(by: int) -> set[bytes]:
            lines = workers[by].get("/metrics")[2].splitlines()
            return {
                line[line.index(b"worker=") :]
                for line in lines
                if line.startswith(b"flyball_gateway_requests_total") and b'outcome="ok"' in line
            }

        both = {b'worker="0"} 2', b'worker="1"} 3'}
        assert eventually(lambda: told(0) == both), told(0)
        assert eventually(lambda: told(1) == both), told(1)
        text = workers[0].get("/metrics")[2]
        assert text.count(b"# TYPE flyball_gateway_requests_total counter") == 1
        workers[1].stop()
        assert told(0) == {b'worker="0"} 2'}


def test_what_a_killed_worker_left_is_told_until_it_is_stale(tmp_path: Path) -> None:
    MetricsPages(tmp_path, 1, alone=False).keep(lambda: page(1, 7))
    pages = MetricsPages(tmp_path, 0, alone=False)
    assert pages.with_others(page(0, 1)).endswith(b'asked_total{worker="1"} 7\n')
    old = time.time() - STALE_S - 1
    os.utime(tmp_path / "gateway-1.prom", (old, old))
    assert pages.with_others(page(0, 1)) == page(0, 1)


def test_a_folder_that_cannot_be_written_harms_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    pages = MetricsPages(tmp_path / "file", 0, alone=False)
    for _ in range(3):
        pages.keep(lambda: page(0, 1))
    assert pages.with_others(page(0, 1)) == page(0, 1)
    assert caplog.text.count("metrics cannot be shared") == 1
