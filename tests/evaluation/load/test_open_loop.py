"""Requests leave when planned, whatever the server does; what the server does is what the figures say."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from flyball.errors import InputError, RefusedError, UpstreamError
from flyball.evaluation.load.job import LoadJob, LoadResult, do_load
from load_server import CUT, events, http, plain, serving

JOB = LoadJob(url="", rate=100, spread="constant", duration_s=1.0, timeout_s=5.0, max_lag_s=0.25, prompt_tokens=4)


def value(result: LoadResult, name: str) -> float:
    found = result.summary.measured(name)
    assert found is not None and found.value is not None, name
    return found.value


def test_a_stall_of_the_server_shows_in_all_requests_that_it_kept_waiting() -> None:
    """A closed loop would see one slow answer: coordinated omission."""
    with serving() as server:
        server.stall(0.9, 0.4)
        result = do_load(replace(JOB, url=server.url, stream=False, rate=200, duration_s=2.0))
    run = result.summary
    assert run.requests == 400 and run.answered == 400, "the generator goes on sending"
    slow = [share for share, ms in run.curves["e2e"] if ms > 100]
    assert slow and slow[0] <= 0.90, "60 of 400 were due more than 100 ms before the stall ended"
    assert value(result, "e2e_p99_ms") > 250
    assert run.lag.p50_ms < 20


def test_streams_have_times_of_their_tokens() -> None:
    with serving(lambda _n, _r: events("a", "b", "c", counted=3)) as server:
        result = do_load(replace(JOB, url=server.url))
    assert result.summary.answered == 100 and result.summary.completion_tokens == 300
    assert server.requests[1]["stream_options"] == {"include_usage": True}
    assert {m.name for m in result.summary.measures} >= {
        "ttft_p50_ms",
        "tpot_p99_ms",
        "longest_gap_p90_ms",
        "e2e_p99_ms",
    }
    assert value(result, "ttft_p50_ms") <= value(result, "e2e_p50_ms")
    assert set(result.summary.itl_ms) == {"p50", "p90", "p99"}


def test_token_counts_that_cannot_be_true_give_way_to_chunks() -> None:
    with serving(lambda n, _r: events("a", "b", "c", counted=(-4, 0, 1, 10**9)[n % 4])) as server:
        result = do_load(replace(JOB, url=server.url))
    assert result.summary.completion_tokens == 300
    assert any("100 answers with token counts that cannot be true" in note for note in result.summary.notes)


def broken(number: int, request: dict[str, Any]) -> bytes:
    return (
        events("a", "b", counted=2),
        http(b'{"error": {"message": "overloaded"}}', status=503),
        events("a", finish=False),
        http(b'data: {"choices": []}\n\n', kind="text/event-stream", length=999) + CUT,
        events("a", more=b'data: {"error": {"message": "out of memory"}}\n\n'),
        http(b"data: {nonsense\n\n", kind="text/event-stream"),
        CUT,
        plain(number, request),
    )[number % 8]


def test_what_goes_wrong_is_counted_by_kind_and_never_leaves_the_denominator() -> None:
    with serving(broken) as server:
        result = do_load(replace(JOB, url=server.url, rate=160, objectives={"e2e": 5.0}))
    run = result.summary
    assert run.requests == 160 and run.answered + sum(run.errors.values()) == 160
    assert {"http_503", "truncated", "error_event", "malformed"} <= set(run.errors)
    assert "overloaded" in run.examples["http_503"] and "out of memory" in run.examples["error_event"]
    assert value(result, "error_share") == pytest.approx(1 - run.answered / 160)
    assert value(result, "goodput_share") == pytest.approx(run.answered / 160)
    slowest = run.measured("e2e_p99_ms")
    assert slowest is not None and slowest.value is None, "a request that failed stands above all answers"


def test_a_server_that_says_nothing_costs_each_request_its_time_and_no_more() -> None:
    with serving(lambda _n, _r: b"") as server:
        result = do_load(replace(JOB, url=server.url, rate=50, timeout_s=0.5))
    assert result.summary.errors == {"timeout": 50} and result.summary.drained_s < 5


def test_a_server_that_knows_no_stream_options_is_asked_without() -> None:
    def strict(_number: int, request: dict[str, Any]) -> bytes:
        return http(b"{}", status=400) if "stream_options" in request else events("a", "b")

    with serving(strict) as server:
        result = do_load(replace(JOB, url=server.url))
    assert result.summary.answered == 100 and result.summary.completion_tokens == 200


def test_a_server_that_becomes_slower_drifts() -> None:
    def slower(number: int, request: dict[str, Any]) -> bytes:
        time.sleep(0.0001 * number)
        return plain(number, request)

    with serving(slower) as server:
        result = do_load(replace(JOB, url=server.url, stream=False, rate=40, duration_s=6.0))
    drift = result.summary.measured("e2e_drift_ms")
    assert drift is not None and drift.value is not None and drift.value > 5


def test_a_wrong_key_is_said_before_the_load() -> None:
    with serving(lambda _n, _r: http(b'{"error": "no such key"}', status=401)) as server:
        with pytest.raises(UpstreamError, match="no such key"):
            do_load(replace(JOB, url=server.url))
        assert len(server.requests) == 1


def test_a_dead_server_is_said_before_the_load() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamError, match="does not answer"):
            do_load(replace(JOB, url=f"http://127.0.0.1:{one.getsockname()[1]}"))


def test_a_server_elsewhere_needs_its_owners_word() -> None:
    with pytest.raises(RefusedError, match="not this machine"):
        do_load(replace(JOB, url="http://192.0.2.1:8000"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration_s": 1e6}, "at most 24h"),
        ({"find_rate": True}, "--objective"),
        ({"overload": 3.0, "ramp_to": 4.0, "objectives": {"e2e": 1.0}}, "exclude each other"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        do_load(replace(JOB, url="http://127.0.0.1:1", **change))
    assert said in str(caught.value)


def test_a_sender_that_was_late_marks_its_run_invalid() -> None:
    with serving() as server:
        result = do_load(replace(JOB, url=server.url, stream=False, max_lag_s=1e-9))
    assert any("late" in reason for reason in result.summary.invalid)


def test_prompts_headers_and_the_base_path_reach_the_server(tmp_path: Any) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"text": "one"}\n' + json.dumps({"messages": [{"role": "user", "content": "two"}]})
    )
    with serving() as server:
        do_load(replace(JOB, url=server.url, stream=False, rate=20, prompts=tmp_path / "p.jsonl", model="m"))
    assert {one["messages"][0]["content"] for one in server.requests} == {"one", "two"}
    assert server.heads[-1].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert {one["model"] for one in server.requests} == {"m"}
