"""A finding becomes one proposal, when there is something to learn from and not too often."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.improvement import triggers
from flyball.improvement.config import ImproveConfig
from flyball.improvement.triggers import ANSWERS, is_open, propose
from flyball.records import Finding, Proposal, TrainingRun
from flyball.storage.deployments import move_pointer
from flyball.storage.ledger import Ledger, now_ms, open_ledger
from traffic_samples import RELEASE, ROUTE, Traffic

CONFIG = ImproveConfig(min_corrections=3, cooldown_s=3600.0)
HOUR_MS = 3_600_000


def find(ledger: Ledger, name: str = "f1", *, kind: str = "drift", release: str = RELEASE) -> Finding:
    found = Finding(
        id=name,
        project="shop",
        kind=kind,  # type: ignore[arg-type]
        severity="warning",
        route=ROUTE,
        release=release,
        measure="m",
        value=0.5,
        reference=0.1,
        evidence={},
        first_seq=1,
        last_seq=2,
        examples=(),
        explanation="Many new words.",
    )
    ledger.append(found)
    return found


def correct(traffic: Traffic, count: int, *, at_ms: int | None = None) -> None:
    for request in traffic.ask_many(["where is my esim"] * count):
        traffic.say(request, correction="esim", at_ms=at_ms)


def go_live(ledger: Ledger, release: str) -> None:
    with ledger.begin() as connection:
        move_pointer(connection, ledger.project, ROUTE, release=release, deployment="d" + release[:5])


def answer(ledger: Ledger, proposal: Proposal) -> None:
    run = TrainingRun(
        project="shop",
        dataset="d" * 64,
        base_model=None,
        method="scratch",
        recipe={"for": proposal.id},
        steps=1,
        metrics={},
        weights_hash="w",
        tokenizer_hash="t",
    )
    ledger.append(run, links=((ANSWERS, proposal.id),))


def test_without_a_finding_of_a_triggering_kind_nothing_is_proposed(ledger: Ledger) -> None:
    correct(Traffic(ledger), 5)
    assert propose(ledger, config=CONFIG, route=ROUTE) is None
    find(ledger, kind="latency")
    assert propose(ledger, config=CONFIG, route=ROUTE) is None


def test_a_finding_and_enough_corrections_propose_retraining_and_say_why(ledger: Ledger) -> None:
    go_live(ledger, RELEASE)
    found = find(ledger)
    correct(Traffic(ledger), 3)
    proposal = propose(ledger, config=CONFIG, route=ROUTE, findings=[found])
    assert proposal is not None
    assert (proposal.action, proposal.corrections, proposal.release) == ("retrain", 3, RELEASE)
    assert proposal.findings == ("f1",)
    assert "drift" in proposal.rationale and "3 answers were corrected" in proposal.rationale
    assert [stored.record for stored in ledger.find(Proposal)] == [proposal]
    assert is_open(ledger, proposal)


def test_too_few_corrections_wait_and_none_at_all_ask_for_a_review(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    find(ledger)
    review = propose(ledger, config=CONFIG, route=ROUTE)
    assert review is not None and (review.action, review.corrections) == ("review", 0)
    correct(traffic, 2)
    assert propose(ledger, config=CONFIG, route=ROUTE) is None
    correct(traffic, 1)
    retrain = propose(ledger, config=CONFIG, route=ROUTE)
    assert retrain is not None and retrain.action == "retrain", "the review gives way, without a cool-down"


def test_corrections_that_confirm_the_answer_are_nothing_to_learn_from(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    find(ledger)
    for request in traffic.ask_many(["where"] * 5):
        traffic.say(request, correction="orders")
    proposal = propose(ledger, config=CONFIG, route=ROUTE)
    assert proposal is not None and proposal.action == "review"


def test_no_second_proposal_while_one_is_open(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    find(ledger)
    correct(traffic, 3)
    later = now_ms() + 10 * HOUR_MS
    assert propose(ledger, config=CONFIG, route=ROUTE) is not None
    correct(traffic, 3, at_ms=later)
    find(ledger, "f2", kind="quality")
    assert propose(ledger, config=CONFIG, route=ROUTE, at_ms=later) is None


def test_after_an_answered_proposal_only_new_corrections_and_the_cool_down_allow_another(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    find(ledger)
    correct(traffic, 3)
    first = propose(ledger, config=CONFIG, route=ROUTE)
    assert first is not None
    answer(ledger, first)
    assert not is_open(ledger, first)
    soon, later = now_ms() + 1000, now_ms() + 2 * HOUR_MS
    correct(traffic, 2, at_ms=soon)
    assert propose(ledger, config=CONFIG, route=ROUTE, at_ms=later) is None, "two are not enough; the old ones are used"
    correct(traffic, 1, at_ms=soon)
    assert propose(ledger, config=CONFIG, route=ROUTE, at_ms=soon) is None, "cool-down"
    second = propose(ledger, config=CONFIG, route=ROUTE, at_ms=later)
    assert second is not None and second.corrections == 3


def test_a_new_live_release_closes_findings_and_proposals_of_the_old_one(ledger: Ledger) -> None:
    go_live(ledger, RELEASE)
    find(ledger)
    correct(Traffic(ledger), 3)
    proposal = propose(ledger, config=CONFIG, route=ROUTE)
    assert proposal is not None
    go_live(ledger, "b" * 64)
    assert not is_open(ledger, proposal)
    assert propose(ledger, config=CONFIG, route=ROUTE, at_ms=now_ms() + 2 * HOUR_MS) is None


def test_two_processes_at_once_make_one_proposal(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find(ledger)
    correct(Traffic(ledger), 3)
    other, real = open_ledger(ledger_url, project=ledger.project), triggers._append

    def append_after_the_other(*args: object) -> object:
        monkeypatch.setattr(triggers, "_append", real)
        assert propose(other, config=CONFIG, route=ROUTE) is not None
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(triggers, "_append", append_after_the_other)
    assert propose(ledger, config=CONFIG, route=ROUTE) is None
    other.close()
    assert len(ledger.find(Proposal)) == 1
