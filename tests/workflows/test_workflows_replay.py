"""Recorded requests answered again by two real engines: a worse release is found worse, an equal one is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from flyball.cost.charges import summary
from flyball.errors import InputError, NotFoundError
from flyball.records import Finding, Release, name_of
from flyball.records.identity import uuid7
from flyball.registry.adapters import import_adapter
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import start_engine, stop_engine, wait_ready
from flyball.storage import tables
from flyball.storage.deployments import history, move_pointer
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback
from flyball.telemetry import quiet
from flyball.wiring import Project
from flyball.workflows.recorded_requests import Recorded, recorded_requests
from flyball.workflows.replay import Named, Replayed, asking, replay
from judged_traffic import Canary, project_on
from record_samples import feedback_record
from tiny_gguf import write_tiny_adapter
from tiny_releases import add_release

UNITS = 50


@dataclass
class Shop:
    """A project with a live release and the traffic that it answered."""

    project: Project
    live: str
    canary: Canary

    def release(self, *, seed: int = 0, slots: int = 2, **more: object) -> str:
        """A release of a tiny model; another seed is another model, other slots the same answers."""
        return add_release(self.project, seed=seed, slots=slots, **more)

    def replay(self, candidate: str, *, requests: int = 200, act: bool = False) -> Replayed:
        return replay(
            self.project, candidate, against=self.live, route=None, requests=requests, act=act, progress=quiet
        )


def named(project: Project, name: str) -> Named:
    record = project.ledger.get(name).record
    assert isinstance(record, Release)
    return Named(name, record)


@pytest.fixture
def shop(ledger: Ledger, tmp_path: Path) -> Shop:
    """Fifty units that asked twice each; a judge said later that what live answered was right."""
    project = project_on(ledger, tmp_path / "shop", rollout={"margin": 0.2})
    made = Shop(project, "", Canary(ledger))
    made.live = made.release()
    texts = [f"order {n} please" for n in range(UNITS)]
    with asking(project, named(project, made.live)) as ask:
        answers = [ask(Recorded(id="", seq=0, cluster="", body=body(text), truth=None)).text for text in texts]
    for n, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        for _ in range(2):
            asked = made.canary.ask(f"u{n}", text=text, answer=answer or "")
            with ledger.begin() as connection:
                add_feedback(connection, feedback_record(request=asked.id, label=answer, score=1.0, judge="books"))
    return made


def body(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}]}


def test_a_release_that_answers_worse_is_found_worse_and_early(shop: Shop) -> None:
    result = shop.replay(shop.release(seed=1))
    evidence = result.finding.evidence
    assert result.verdict == "worse" and "worse in quality" in result.finding.explanation
    assert evidence["measures"]["quality"]["difference"] < -0.5 and evidence["against"] == shop.live
    assert evidence["pairs"] < 2 * UNITS  # it stopped when it was proven
    assert result.finding.severity == "critical" and result.finding.examples


@pytest.mark.serial  # its latency is compared too
def test_an_equal_release_is_within_the_margin_and_is_not_promoted_by_that(shop: Shop) -> None:
    before = history(shop.project.ledger, shop.canary.deployment.id)
    result = shop.replay(shop.release(slots=1), act=True)
    evidence = result.finding.evidence
    assert result.verdict == "not_worse" and evidence["agreement"] == 1.0
    assert (evidence["pairs"], evidence["clusters"]) == (2 * UNITS, UNITS)
    low, high = evidence["measures"]["quality"]["bounds"]
    assert -0.2 < low <= 0.0 <= high
    assert result.taken_back is None and history(shop.project.ledger, shop.canary.deployment.id) == before


def test_a_release_that_does_not_answer_fails_where_live_does_not(shop: Shop) -> None:
    silent = shop.release(kind="openai", flags={"url": "http://127.0.0.1:9"})
    result = shop.replay(silent)
    assert result.verdict == "worse" and result.finding.measure == "replay:failures"
    assert result.finding.evidence["measures"]["failures"]["difference"] == 1.0


def test_a_release_with_an_adapter_answers_with_it(shop: Shop, tmp_path: Path) -> None:
    adapter = import_adapter(write_tiny_adapter(tmp_path / "a.gguf"), project="shop", out=tmp_path / "adapter")
    shop.project.ledger.append(adapter)
    shop.project.artifacts.put(name_of(adapter), tmp_path / "adapter", adapter.files)
    result = shop.replay(shop.release(adapter=name_of(adapter)), requests=10)
    assert result.finding.evidence["agreement"] < 1.0


def test_each_release_is_paid_by_its_own_prices(shop: Shop) -> None:
    dear = shop.release(flags={"usd_per_million": [0, 1_000_000]})
    result = shop.replay(dear, requests=10)
    cost = result.finding.evidence["measures"]["cost"]
    assert cost["ratio"] > 100 and result.usd > 1.0


def test_a_replay_is_no_traffic_and_is_paid_by_the_project(shop: Shop) -> None:
    def requests() -> int:
        with shop.project.ledger.read() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.requests)).scalar_one())

    before, spent = requests(), summary(shop.project.ledger)
    result = shop.replay(shop.release(slots=1), requests=10)
    after = summary(shop.project.ledger)
    assert requests() == before and after.by_key == spent.by_key
    assert after.by_kind["replay"] == pytest.approx(result.usd) and result.usd > 0
    (stored,) = shop.project.ledger.find(Finding, limit=5)
    assert stored.record == result.finding and result.finding.evidence["pairs"] == 10


def test_a_running_engine_answers_instead_of_another_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    project, candidate = shop.project, shop.release(slots=1)
    handles = []
    for name in (candidate, shop.live):
        one = named(project, name)
        handle = start_engine(
            one.release,
            release_name=name,
            artifact=project.artifacts.path(one.release.model),
            run_dir=project.places.run,
            log_dir=project.places.logs,
            config=ServingConfig(),
        )
        handles.append(wait_ready(handle, one.release, timeout_s=20))
    monkeypatch.setattr("flyball.workflows.replay.engine_process", None)  # would be called for a second one
    try:
        assert shop.replay(candidate, requests=20).finding.evidence["agreement"] == 1.0
    finally:
        for handle in handles:
            stop_engine(handle, grace_s=0.2)


def test_with_act_a_worse_candidate_is_rolled_back_and_the_finding_is_why(shop: Shop) -> None:
    ledger, canary = shop.project.ledger, shop.canary
    worse = shop.release(seed=1)
    with ledger.begin() as connection:
        move_pointer(connection, "shop", "shop", release=shop.live, deployment="old")
    assert shop.replay(worse, act=True).taken_back is None  # it is deployed nowhere
    canary.move("rolled_back")
    under_way = Canary(ledger, deployment=replace(canary.deployment, id=uuid7(), release=worse))
    result = shop.replay(worse, act=True)
    assert result.taken_back == under_way.deployment.id
    last = history(ledger, under_way.deployment.id)[-1][0]
    assert last.state == "rolled_back" and result.finding.id in str(last.evidence["by"])


def test_what_makes_no_sense_is_refused_with_a_cure(shop: Shop, ledger: Ledger) -> None:
    with pytest.raises(InputError, match="with itself"):
        shop.replay(shop.live)
    with pytest.raises(NotFoundError, match="nothing is live"):
        replay(shop.project, shop.live, against=None, route="empty", requests=1, act=False, progress=quiet)
    with pytest.raises(NotFoundError, match="no recorded request on empty"):
        replay(
            shop.project, shop.release(seed=1), against=shop.live, route="empty", requests=1, act=False, progress=quiet
        )


def test_conversations_stay_together_and_only_real_traffic_is_asked_again(ledger: Ledger, tmp_path: Path) -> None:
    project, canary = project_on(ledger, tmp_path), Canary(ledger)
    one, two = canary.ask("u", conversation="c" * 64), canary.ask("v", conversation="c" * 64)
    alone = canary.ask("w")
    canary.ask("x", outcome="refused", status=429)
    canary.ask("y", forced=True)
    canary.ask("z", mirrors=alone.id, variant="shadow")
    corrected = feedback_record(request=one.id, label="a user's word", score=0.0)
    with ledger.begin() as connection:
        add_feedback(connection, corrected)
        add_feedback(connection, feedback_record(request=two.id, label="refund", judge="books"))
    found = {each.id: each for each in recorded_requests(project, "shop", limit=10)}
    assert found.keys() == {one.id, two.id, alone.id}
    assert found[one.id].cluster == found[two.id].cluster != found[alone.id].cluster
    assert [found[each.id].truth for each in (one, two, alone)] == [None, "refund", None]
    assert len(recorded_requests(project, "shop", limit=2)) == 2
