"""Every answer leads back to its data, and data forward to everything made of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flyball.errors import NotFoundError
from flyball.records import Deployment, EvalReport, GateDecision, TrainingRun, fingerprint
from flyball.records.identity import uuid7
from flyball.registry.config import ReleaseConfig
from flyball.registry.lineage import ancestry, descendants
from flyball.registry.release_composition import compose
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from record_samples import request_record
from small_models import rows, write_dataset

from test_release_composition import MODEL  # isort: skip
from traffic_rows import add_request


@pytest.fixture
def story(ledger: Ledger, tmp_path):
    """A whole chain in the ledger: dataset → run → model → release → report → decision → deployment → request."""
    dataset = write_dataset(tmp_path / "dataset", rows(3, seed=1))
    run = TrainingRun(
        project="shop",
        dataset=fingerprint(dataset),
        base_model="f" * 64,
        method="finetune",
        recipe={"steps": 1},
        steps=1,
        metrics={"loss": 0.5},
        weights_hash="1" * 64,
        tokenizer_hash="2" * 64,
    )
    model = replace(MODEL, training_run=fingerprint(run), dataset=fingerprint(dataset))
    release = compose(
        ReleaseConfig(), project="shop", task="classification", model=model, labels=("a", "b"), redaction="none"
    )
    report = EvalReport(
        project="shop",
        release=fingerprint(release),
        dataset=fingerprint(dataset),
        suites=(),
        measures=(),
        items_hash="3" * 64,
        failures=0,
        engine="llama.cpp",
        prompt_path=1,
    )
    decision = GateDecision(
        project="shop",
        release=fingerprint(release),
        report=fingerprint(report),
        baseline_release=None,
        baseline_report=None,
        policy={},
        alpha=0.05,
        checks=(),
        verdict="pass",
    )
    deployment = Deployment(
        id=uuid7(),
        project="shop",
        route="shop",
        release=fingerprint(release),
        decision=fingerprint(decision),
        strategy="blue-green",
        plan={},
        replaces=None,
        requested_by="local",
        reason="test",
    )
    for record in (dataset, run, model, release, report, decision, deployment):
        ledger.append(record, recorded={"flyball": "0"})
    request = request_record(release=fingerprint(release), deployment=deployment.id)
    with ledger.begin() as connection:
        add_request(connection, request)
    names = {
        "dataset": fingerprint(dataset),
        "training_run": fingerprint(run),
        "model": fingerprint(model),
        "release": fingerprint(release),
        "deployment": deployment.id,
        "report": fingerprint(report),
        "decision": fingerprint(decision),
        "request": request.id,
    }
    return names


def test_an_answer_leads_back_to_its_data(ledger, story):
    found = ancestry(ledger, story["request"])
    assert {key: document["id"] for key, document in found.items() if isinstance(document, dict)} == story
    assert found["missing"] == ["f" * 64]
    assert found["training_run"]["recipe"] == {"steps": 1}
    assert found["release"]["recorded"] == {"flyball": "0"}


def test_a_record_leads_back_and_has_no_request(ledger, story):
    found = ancestry(ledger, story["release"][:12])
    assert found["request"] is None and found["deployment"] is None
    assert found["dataset"]["id"] == story["dataset"]


def test_a_student_leads_back_to_its_teacher_and_the_teacher_forward_to_its_student(ledger, story):
    run = replace(ledger.get(story["training_run"]).record, base_model=None, teacher=story["model"])
    student = replace(MODEL, training_run=fingerprint(run), dataset=story["dataset"])
    for record in (run, student):
        ledger.append(record)
    found = ancestry(ledger, fingerprint(student))
    assert found["model"]["id"] == fingerprint(student) and found["training_run"]["id"] == fingerprint(run)
    assert found["teacher"]["id"] == story["model"] and "missing" in found, "the teacher's own base was never imported"
    assert fingerprint(run) in [
        one["id"] for one in descendants(ledger, story["model"]) if one["relation"] == "teacher"
    ]


def test_data_leads_forward_to_everything_made_of_it(ledger, story):
    found = descendants(ledger, story["dataset"])
    assert [entry["type"] for entry in found][:2] != []
    assert {entry["id"] for entry in found} == set(story.values()) - {story["dataset"], story["request"]}
    assert [entry["requests"] for entry in found if entry["type"] == "Release"] == [1]


def test_erasure_is_shown_as_a_mark_and_never_hides_a_record(ledger, story):
    with ledger.begin() as connection:
        connection.execute(
            tables.erasures.insert().values(
                project="shop",
                subject="s" * 64,
                old=story["model"],
                new=None,
                effect="marked",
                receipt="r" * 64,
                at_ms=1,
            )
        )
    mark = {"effect": "marked", "new": None, "receipt": "r" * 64, "at_ms": 1}
    found = ancestry(ledger, story["request"])
    assert found["model"]["erased"] == [mark]
    assert found["release"]["erased"] == []
    marked = [entry["id"] for entry in descendants(ledger, story["dataset"]) if entry["erased"]]
    assert marked == [story["model"]]


def test_what_nobody_knows_is_not_found(ledger):
    with pytest.raises(NotFoundError):
        ancestry(ledger, "0" * 64)
    assert descendants(ledger, "0" * 64) == []
