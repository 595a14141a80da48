"""People judge blind, twice is once, wrong lines are named, and texts are opened only where the project says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from flyball.security import audit
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import feedback_of
from flyball.workflows.judge import open_items, record_verdicts
from flyball.workflows.request_texts import texts_of
from judged_traffic import Canary, project_on

ALL = {"judge_share": 1.0}
PERSONAL = "I am jane@example.com, where is my order?"


def lines(*verdicts: dict[str, Any]) -> list[bytes]:
    return [json.dumps(verdict).encode() + b"\n" for verdict in verdicts]


def test_a_judge_sees_what_was_asked_and_answered_and_nothing_of_the_arm(ledger: Ledger, tmp_path: Path) -> None:
    canary, project = Canary(ledger), project_on(ledger, tmp_path, rollout=ALL)
    for n in range(4):
        canary.ask(f"u{n}", text=PERSONAL, canary=n % 2 == 1)
    items, waiting = open_items(project, limit=3)
    assert waiting == 4 and len(items) == 3
    for item in items:
        assert item.keys() == {"request_id", "messages", "answer"}
    shown = json.dumps(items)
    for secret in (canary.deployment.id, canary.deployment.release, "old", "canary", "candidate", "jane@example.com"):
        assert secret not in shown


def test_verdicts_are_recorded_once_and_close_what_was_open(ledger: Ledger, tmp_path: Path) -> None:
    canary, project = Canary(ledger), project_on(ledger, tmp_path, rollout=ALL)
    one, two, three = (canary.ask(f"u{n}") for n in range(3))
    items, _ = open_items(project, limit=10)
    scores = {one.id: 1.0, two.id: 0.25}
    given = lines(*({**item, "score": scores.get(str(item["request_id"]))} for item in items))
    first = record_verdicts(project, given, judge="ann")
    assert (first.recorded, first.known, first.open, first.wrong) == (2, 0, 1, ())
    again = record_verdicts(project, given, judge="ann")
    assert (again.recorded, again.known, again.open) == (0, 2, 1)
    (verdict,) = feedback_of(ledger, two.id)
    assert (verdict.score, verdict.judge, verdict.key_id) == (0.25, "ann", "local")
    assert [item["request_id"] for item in open_items(project, limit=10)[0]] == [three.id]
    assert [entry.action for entry in audit.entries(ledger)].count("judge") == 1


def test_a_changed_mind_and_a_second_judge_are_further_verdicts(ledger: Ledger, tmp_path: Path) -> None:
    canary, project = Canary(ledger), project_on(ledger, tmp_path)
    asked = canary.ask("u")
    for verdict in ({"score": 1}, {"score": 0}, {"score": 0, "judge": "ben"}):
        record_verdicts(project, lines({"request_id": asked.id, **verdict}), judge="ann")
    assert [(one.score, one.judge) for one in feedback_of(ledger, asked.id)] == [(1, "ann"), (0, "ann"), (0, "ben")]


def test_wrong_lines_are_named_and_the_others_are_recorded(ledger: Ledger, tmp_path: Path) -> None:
    canary, project = Canary(ledger), project_on(ledger, tmp_path)
    good = canary.ask("u")
    given = [
        *lines({"request_id": "019a", "score": 1}),
        b"{\n",
        *lines({"request_id": good.id, "score": 2}, {"request_id": good.id, "scoer": 1}),
        b"\n",
        *lines({"request_id": good.id, "score": 1}),
    ]
    recorded = record_verdicts(project, given, judge="ann")
    assert recorded.recorded == 1 and len(recorded.wrong) == 4
    told = "\n".join(recorded.wrong)
    assert "line 1: no request 019a" in told and "line 2:" in told and "scoer" in told and "score" in told


def test_where_the_truth_comes_later_a_label_is_compared_with_the_answer(ledger: Ledger, tmp_path: Path) -> None:
    canary, project = Canary(ledger), project_on(ledger, tmp_path)
    right, wrong = canary.ask("u", answer="refund"), canary.ask("v", answer="delivery")
    record_verdicts(
        project, lines(*({"request_id": one.id, "label": "refund"} for one in (right, wrong))), judge="books"
    )
    assert [feedback_of(ledger, one.id)[0].score for one in (right, wrong)] == [1.0, 0.0]


@pytest.mark.parametrize("purposes", [[], ["judging"]])
def test_originals_are_opened_only_for_a_purpose_that_the_project_names(
    ledger: Ledger, tmp_path: Path, purposes: list[str]
) -> None:
    canary = Canary(ledger)
    project = project_on(ledger, tmp_path, gateway={"recording": {"purposes": purposes}})
    asked = canary.ask("u", text=PERSONAL, subject="s" * 64)
    found = json.dumps(texts_of(project, [asked.id], purpose="judging")[asked.id])
    assert ("jane@example.com" in found) is bool(purposes)
    assert "jane@example.com" not in json.dumps(texts_of(project, [asked.id], purpose="replay")[asked.id])
    with ledger.begin() as connection:
        connection.execute(delete(tables.payloads).where(tables.payloads.c.subject == "s" * 64))  # as erasure does
    assert texts_of(project, [asked.id], purpose="judging") == {}
