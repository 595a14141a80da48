"""Every question gets an answer or a reason, is asked once, and a killed run goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chat_server import CUT, ERROR, GARBAGE, LIE, STALL, chat_server
from flyball.evaluation.case_answers import GIVE_UP_AFTER, Answer, Partial, ask_all
from flyball.inference.completions import HttpCompleter
from flyball.telemetry import quiet

HERE = Path(__file__).parent


def bodies(n: int) -> dict[str, dict[str, Any]]:
    return {f"k{index:04d}": {"messages": [{"role": "user", "content": f"q{index}"}]} for index in range(n)}


def run(url: str, folder: Path, n: int = 40, *, concurrency: int = 4, timeout_s: float = 20.0) -> dict[str, Answer]:
    completer = HttpCompleter(url, release=None, model="m", api_key=None, timeout_s=timeout_s)
    partial = Partial(folder / "partial.jsonl", "plan-1")
    return ask_all(bodies(n), completer, concurrency=concurrency, partial=partial, progress=quiet)


def test_each_question_is_asked_once_and_answered_under_its_own_key(tmp_path: Path) -> None:
    with chat_server(lambda text, _: text.upper()) as server:
        answers = run(server.url, tmp_path)
    assert {key: answer.text for key, answer in answers.items()} == {f"k{k:04d}": f"Q{k}" for k in range(40)}
    assert sorted(server.asked) == sorted(f"q{k}" for k in range(40))


def test_requests_run_side_by_side_up_to_the_set_number(tmp_path: Path) -> None:
    with chat_server(lambda text, _: time.sleep(0.1) or "ok") as server:
        began = time.monotonic()
        run(server.url, tmp_path, 24, concurrency=8)
    assert time.monotonic() - began < 24 * 0.1 / 2


@pytest.mark.parametrize("mark", [ERROR, STALL, CUT, GARBAGE])
def test_a_failing_answer_is_kept_with_its_reason_and_the_rest_still_counts(tmp_path: Path, mark: object) -> None:
    with chat_server(lambda text, _: mark if text == "q3" else "fine") as server:
        answers = run(server.url, tmp_path, 12, timeout_s=0.5)
    assert len(answers) == 12
    assert [key for key, answer in answers.items() if answer.error] == ["k0003"]


def test_token_counts_that_cannot_be_true_are_marked_but_the_answer_counts(tmp_path: Path) -> None:
    with chat_server(lambda text, _: LIE if text == "q0" else "fine") as server:
        answers = run(server.url, tmp_path, 5)
    assert [key for key, answer in answers.items() if answer.lies] == ["k0000"]
    assert not any(answer.error for answer in answers.values())


def test_a_dead_endpoint_is_given_up_on_and_all_cases_count_as_failed(tmp_path: Path) -> None:
    with chat_server(lambda text, _: ERROR) as server:
        answers = run(server.url, tmp_path, 200)
        assert GIVE_UP_AFTER <= len(server.asked) <= GIVE_UP_AFTER + 8
    assert len(answers) == 200 and all(answer.error for answer in answers.values())
    assert sum("not asked" in (answer.error or "") for answer in answers.values()) >= 200 - GIVE_UP_AFTER - 8


def test_a_server_that_refuses_some_cases_is_asked_all_the_others(tmp_path: Path) -> None:
    with chat_server(lambda text, _: (400, "too long") if int(text[1:]) < 60 else "fine") as server:
        answers = run(server.url, tmp_path, 100)
        assert len(server.asked) == 100
    assert [answer.fault for answer in answers.values()].count("refused") == 60
    assert sum(answer.text == "fine" for answer in answers.values()) == 40


def test_a_server_that_breaks_on_many_cases_in_a_row_and_still_answers_others_is_not_given_up_on(
    tmp_path: Path,
) -> None:
    with chat_server(lambda text, _: ERROR if 3 < int(text[1:]) < 80 else "fine") as server:
        answers = run(server.url, tmp_path, 100, concurrency=2)
    assert [answer.fault for answer in answers.values()].count("failed") == 76
    assert not any(answer.fault == "not asked" for answer in answers.values())


def test_a_server_that_is_busy_is_asked_again_a_little_later(tmp_path: Path) -> None:
    with chat_server(lambda text, number: (429, "slow down") if number == 1 else "fine") as server:
        answers = run(server.url, tmp_path, 3, concurrency=1)
        assert len(server.asked) == 4
    assert {answer.text for answer in answers.values()} == {"fine"}


def test_a_bug_in_a_completer_is_a_failed_case_with_its_name(tmp_path: Path) -> None:
    class Broken:
        def complete(self, body: dict[str, Any], /) -> Any:
            raise ZeroDivisionError("oops")

    partial = Partial(tmp_path / "partial.jsonl", "p")
    answers = ask_all(bodies(2), Broken(), concurrency=1, partial=partial, progress=quiet)
    assert {answer.error for answer in answers.values()} == {"ZeroDivisionError: oops"}


def test_after_a_torn_line_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    with chat_server(lambda text, _: "first") as server:
        run(server.url, tmp_path, 10)
    path = tmp_path / "partial.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 7])
    with chat_server(lambda text, _: "second") as server:
        answers = run(server.url, tmp_path, 12)
    assert sorted(answer.text for answer in answers.values()) == ["first"] * 9 + ["second"] * 3
    assert len(server.asked) == 3


def test_answers_of_another_plan_are_not_used(tmp_path: Path) -> None:
    Partial(tmp_path / "partial.jsonl", "other").rewrite({"k0000": Answer(key="k0000", total_ms=1.0, text="old")})
    with chat_server(lambda text, _: "new") as server:
        assert run(server.url, tmp_path, 1)["k0000"].text == "new"


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_case_answers import run
run(sys.argv[1], Path(sys.argv[2]), 60, concurrency=3)
"""


def test_a_run_killed_in_the_middle_goes_on_and_asks_nothing_twice_that_it_had_an_answer_to(tmp_path: Path) -> None:
    with chat_server(lambda text, _: time.sleep(0.03) or text) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, server.url, str(tmp_path), str(HERE), str(HERE.parent / "support")]
        )
        deadline = time.monotonic() + 60
        while len(server.asked) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kept = len((tmp_path / "partial.jsonl").read_bytes().split(b"\n")) - 2
        asked_before = len(server.asked)
        answers = run(server.url, tmp_path, 60)
        assert kept >= 15
        assert len(server.asked) - asked_before == 60 - kept
    assert all(json.dumps(answer.text) for answer in answers.values()) and len(answers) == 60
