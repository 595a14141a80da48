"""A judge that is a program: its verdicts are recorded, and whatever it does wrong is found and hurts nobody."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flyball.records import Finding
from flyball.rollout.config import JudgeConfig
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import feedback_of
from flyball.workflows.judge_program import MAX_TRIES, JudgeProgram
from judged_traffic import Canary, project_on

LENGTH = """
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    print(json.dumps({"request_id": item["request_id"], "score": float(item["answer"] == "refund")}))
"""


def program(ledger: Ledger, root: Path, source: str, **config: Any) -> JudgeProgram:
    root.mkdir(exist_ok=True)
    (root / "judge.py").write_text(source)
    command = (sys.executable, "judge.py")
    return JudgeProgram(project_on(ledger, root, rollout={"judge_share": 1.0}), JudgeConfig(command=command, **config))


def findings(ledger: Ledger) -> list[Finding]:
    return [stored.record for stored in ledger.find(Finding, limit=10) if isinstance(stored.record, Finding)]


def test_its_verdicts_are_recorded_batch_by_batch_under_its_name(ledger: Ledger, tmp_path: Path) -> None:
    canary = Canary(ledger)
    asked = [canary.ask(f"u{n}", answer=("refund", "orders")[n % 2], canary=n < 3) for n in range(5)]
    judge = program(ledger, tmp_path / "shop", LENGTH, batch=3)
    assert [judge.judge(), judge.judge(), judge.judge()] == [3, 2, 0]
    verdicts = [feedback_of(ledger, one.id) for one in asked]
    assert [one.score for (one,) in verdicts] == [1, 0, 1, 0, 1]
    assert {one.judge for (one,) in verdicts} == {Path(sys.executable).name}
    assert findings(ledger) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys; sys.exit('no model here')", "exit code 1: no model here"),
        ("import time; time.sleep(30)", "did not end within 0.5 s"),
        ("import os; os.fork() or os.setsid() or __import__('time').sleep(3)", "did not end within 0.5 s"),
        ("while True: print('x' * 100000)", "printed more than"),
        ("print('good answer!')", "line 1"),
        ("pass", "left 1 of 1 answers unjudged"),
        ('print(\'{"request_id": "another", "score": 1}\')', "no request another"),
    ],
)
def test_what_it_does_wrong_is_found_in_time_and_nothing_is_recorded(
    ledger: Ledger, tmp_path: Path, source: str, said: str
) -> None:
    asked = Canary(ledger).ask("u")
    judge = program(ledger, tmp_path / "shop", source, timeout_s=0.5)
    began = time.monotonic()
    assert judge.judge() == 0
    assert time.monotonic() - began < 10
    (finding,) = findings(ledger)
    assert said in finding.explanation and (finding.kind, finding.measure) == ("health", "judge")
    assert feedback_of(ledger, asked.id) == []


def test_a_program_that_is_not_there_is_found_once_an_hour_and_not_asked_for_ever(
    ledger: Ledger, tmp_path: Path
) -> None:
    canary = Canary(ledger)
    canary.ask("u")
    project = project_on(ledger, tmp_path / "shop", rollout={"judge_share": 1.0})
    judge = JudgeProgram(project, JudgeConfig(command=("./no-such-judge",)))
    for _ in range(MAX_TRIES + 1):
        judge.judge()
    (finding,) = findings(ledger)
    assert "./no-such-judge cannot be run: No such file" in finding.explanation


def test_an_answer_that_it_passes_over_does_not_hold_up_the_others(ledger: Ledger, tmp_path: Path) -> None:
    canary = Canary(ledger)
    for n in range(6):
        canary.ask(f"u{n}", answer="refund" if n else "odd")
    source = LENGTH.replace("    print", "    if item['answer'] != 'odd': print")
    judge = program(ledger, tmp_path / "shop", source, batch=1)
    assert sum(judge.judge() for _ in range(6 + MAX_TRIES)) == 5


def test_it_reads_one_json_object_a_line_that_names_no_release(ledger: Ledger, tmp_path: Path) -> None:
    Canary(ledger).ask("u", text="hello", canary=True)
    program(ledger, tmp_path / "shop", "import sys; open('seen', 'w').write(sys.stdin.read())").judge()
    (line,) = (tmp_path / "shop" / "seen").read_text().splitlines()
    item = json.loads(line)
    assert item.pop("request_id") and item == {"messages": [{"role": "user", "content": "hello"}], "answer": "orders"}
