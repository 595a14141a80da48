"""Observing a deployment from the ledger: the same evidence however often, and by whichever process, it is read."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from flyball.records import Feedback, RequestRecord, Transition
from flyball.rollout.analysis import Analysis, observe
from flyball.rollout.config import RolloutConfig
from flyball.rollout.observation import Observation
from flyball.rollout.sampling import in_sample
from flyball.rollout.state_machine import History, advance
from flyball.rollout.units import ended_ms
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback
from record_samples import deployment_record, feedback_record, request_record
from traffic_rows import add_request

CONFIG = RolloutConfig(judge_after_s=10.0)
T0 = 1_790_000_000_000
CANARY = deployment_record(
    id="00000000-0000-7000-8000-000000000001",  # the judged sample is drawn by it
    strategy="canary",
    plan={"steps": [0.1, 0.5]},
    replaces="old",
)


def ramping() -> History:
    begun = [("requested", -3000), ("starting", -2000), ("ramping", 0)]
    return [
        (Transition(deployment=CANARY.id, state=state, step=0, evidence={}), T0 + after)  # type: ignore[arg-type]
        for state, after in begun
    ]


def traffic(ledger: Ledger, *, units: int, first: int = 0, seed: int = 1) -> None:
    rng = random.Random(seed)
    with ledger.begin() as connection:
        for n in range(first, first + units):
            arm = CANARY.id if rng.random() < 0.1 else "old"
            asked = request_record(unit=f"u{n}", deployment=arm, started_ms=T0 + 2000 + n * 10)
            add_request(connection, asked)
            if rng.random() < 0.2:
                said = feedback_record(request=asked.id, score=float(rng.random() < 0.7), at_ms=asked.started_ms + 50)
                add_feedback(connection, said)


def test_reading_in_pieces_comes_to_the_same_as_reading_at_once(ledger: Ledger) -> None:
    pieces = Analysis(ledger, CANARY, CONFIG, began_ms=T0 - 3000)
    for part in range(4):
        traffic(ledger, units=100, first=100 * part, seed=part)
        pieces.look(ledger, ramping(), T0 + 2000 + part * 1000)
    now = T0 + 60_000
    pieces.look(ledger, ramping(), now)
    at_once = observe(ledger, CANARY, ramping(), CONFIG, now_ms=now, seen=Observation(engine="ready"))
    assert pieces.observation(Observation(engine="ready")) == at_once
    assert at_once.candidate.units + at_once.live.units == 400
    assert 0 < at_once.live.good < at_once.live.units


def test_before_traffic_is_sent_nothing_is_read_and_nothing_is_known(ledger: Ledger) -> None:
    traffic(ledger, units=50)
    seen = observe(ledger, CANARY, ramping()[:2], CONFIG, now_ms=T0 + 60_000, seen=Observation())
    assert seen == Observation()


def test_traffic_of_other_routes_and_earlier_deployments_is_not_evidence(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        add_request(connection, request_record(route="another", deployment=CANARY.id, started_ms=T0 + 2000))
        add_request(connection, request_record(deployment="old", started_ms=T0 - 2000))
    seen = observe(ledger, CANARY, ramping(), CONFIG, now_ms=T0 + 60_000, seen=Observation())
    assert seen.candidate.requests == seen.live.requests == 0


def test_a_release_that_replaces_a_failing_one_may_fail_as_often(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        for n in range(200):
            outcome = "error" if n % 5 == 0 else "ok"
            add_request(connection, request_record(deployment="old", started_ms=T0 - 9000, outcome=outcome))
    analysis = Analysis(ledger, CANARY, CONFIG, began_ms=T0)
    assert 0.2 < analysis.evidence.watches["candidate"].detector.usual < 0.3


@dataclass(frozen=True)
class Happening:
    """What is in the ledger from a moment on."""

    at_ms: int
    record: RequestRecord | Feedback


def happenings(rng: random.Random, units: int) -> list[Happening]:
    """Units that ask one to four times, slowly or not, failing now and then, rated and judged early, late or never."""
    found = []
    for n in range(units):
        arm = CANARY.id if rng.random() < 0.3 else "old"
        first = T0 + 2000 + n * 40
        for _ in range(rng.choice([1, 1, 2, 4])):
            total = rng.choice([5.0, 50.0, 900.0, 14_000.0])
            outcome = rng.choice(["ok"] * 8 + ["error", "aborted", "refused"])
            started = first + rng.randrange(12_000)
            asked = request_record(unit=f"u{n}", deployment=arm, started_ms=started, total_ms=total, outcome=outcome)
            ended = ended_ms(asked)
            found.append(Happening(ended + rng.randrange(1500), asked))
            for judge in (None, "ann", "ben"):
                said_ms = ended + rng.randrange(30_000)
                if rng.random() < 0.5:
                    said = feedback_record(request=asked.id, score=rng.random(), judge=judge, at_ms=said_ms)
                    found.append(Happening(said_ms + rng.randrange(1500), said))
    return sorted(found, key=lambda one: one.at_ms)


@pytest.mark.parametrize("seed", range(3))
def test_whoever_looks_however_often_and_after_whatever_backlog_comes_to_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("flyball.rollout.analysis.BATCH", 7)  # so that two hundred requests are a backlog
    rng, config = random.Random(seed), RolloutConfig(judge_after_s=10.0, judge_within_s=20.0, judge_share=0.7)
    events = happenings(rng, 120)
    often = Analysis(ledger, CANARY, config, began_ms=T0 - 3000)
    now = T0
    for event in events:
        while now < event.at_ms and rng.random() < 0.7:
            now = min(event.at_ms, now + rng.randrange(4000))
            often.look(ledger, ramping(), now)
        with ledger.begin() as connection:
            if isinstance(event.record, RequestRecord):
                add_request(connection, event.record)
            else:
                add_feedback(connection, event.record)
    end = events[-1].at_ms + 60_000
    restarted = Analysis(ledger, CANARY, config, began_ms=T0 - 3000)
    for analysis in (often, restarted):
        for _ in range(20):  # a backlog takes some looks
            analysis.look(ledger, ramping(), end)
    ready = Observation(engine="ready")
    assert often.observation(ready) == restarted.observation(ready)
    figures = restarted.observation(ready).figures
    assert figures["measures"]["quality"]["candidate"]["units"] > 5 and restarted.evidence.counts["live"]["units"] > 50


def test_only_verdicts_on_drawn_answers_are_evidence_of_quality(ledger: Ledger) -> None:
    config = RolloutConfig(judge_after_s=10.0, judge_within_s=10.0, judge_share=0.5)
    with ledger.begin() as connection:
        for n in range(200):
            arm = CANARY.id if n % 2 else "old"
            for turn in range(2):
                asked = request_record(unit=f"u{n}", deployment=arm, started_ms=T0 + 2000 + n * 10 + turn)
                add_request(connection, asked)
                score = float(turn == 0)  # whoever picks what to judge could pick the bad ones
                add_feedback(connection, feedback_record(request=asked.id, score=score, judge="ann", at_ms=T0 + 5000))
    seen = observe(ledger, CANARY, ramping(), config, now_ms=T0 + 60_000, seen=Observation(engine="ready"))
    quality = seen.figures["measures"]["quality"]
    assert quality["candidate"]["mean"] == quality["live"]["mean"] == 1.0
    sampled = sum(in_sample(CANARY.id, f"u{n}", 0.5) for n in range(200))
    assert quality["candidate"]["units"] + quality["live"]["units"] == sampled < 150


def test_praise_by_users_proves_no_quality(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        for n in range(400):
            asked = request_record(unit=f"u{n}", deployment=(CANARY.id, "old")[n % 2], started_ms=T0 + 2000 + n * 10)
            add_request(connection, asked)
            add_feedback(connection, feedback_record(request=asked.id, score=1.0, at_ms=asked.started_ms + 50))
    config = RolloutConfig(judge_after_s=10.0, judge_within_s=10.0)
    seen = observe(ledger, CANARY, ramping(), config, now_ms=T0 + 90_000, seen=Observation(engine="ready"))
    assert seen.candidate.units == seen.live.units == 200
    assert seen.not_worse["quality"] == 1.0 and "quality" not in seen.harm and seen.harm["feedback"] == 1.0
    step = advance(CANARY, ramping(), seen, config, T0 + round(config.deadline_s * 1000) + 1)
    assert step is not None and (step.state, step.step) != ("live", 0)


def test_the_baseline_of_failures_is_what_was_before_the_rollout_whenever_one_looks(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        for n in range(400):
            after = n >= 200
            record = request_record(
                deployment="old", started_ms=T0 + (9000 if after else -9000), outcome="error" if after else "ok"
            )
            add_request(connection, record)
    before = Analysis(ledger, CANARY, CONFIG, began_ms=T0).evidence.watches["candidate"].detector.usual
    assert before < 0.05


def judged_pair(ledger: Ledger, unit: str, *, copy: float | None, original: float | None, after_ms: int = 50) -> None:
    """A mirrored request and its original, with a judge's score of each, so long after they were answered."""
    asked = request_record(unit=unit, deployment="old", started_ms=T0 + 2000)
    mirrored = {"variant": "shadow", "mirrors": asked.id, "deployment": SHADOW.id, "started_ms": T0 + 2000}
    shown = request_record(unit=unit, **mirrored)
    with ledger.begin() as connection:
        for record, score in ((asked, original), (shown, copy)):
            add_request(connection, record)
            if score is not None:
                at_ms = record.started_ms + after_ms
                add_feedback(connection, feedback_record(request=record.id, score=score, judge="eve", at_ms=at_ms))


SHADOW = deployment_record(strategy="shadow", plan={"steps": [{"variant": "shadow", "share": 1.0}]}, replaces="old")


def test_verdicts_on_pairs_count_once_their_time_is_over_and_take_a_worse_shadow_back(ledger: Ledger) -> None:
    config = RolloutConfig(judge_share=1.0, judge_after_s=1.0, judge_within_s=10.0, min_units=1)
    history = [(Transition(deployment=SHADOW.id, state="ramping", step=0, evidence={}), T0)]
    for n in range(60):
        judged_pair(ledger, f"u{n}", copy=float(n % 3 == 0), original=float(n % 10 != 1))
    judged_pair(ledger, "half", copy=None, original=1.0)
    judged_pair(ledger, "late", copy=0.0, original=1.0, after_ms=10_001)
    analysis = Analysis(ledger, SHADOW, config, began_ms=T0)

    def look(after_s: float) -> Observation:
        now = T0 + 2000 + round(1000 * after_s)
        analysis.look(ledger, history, now)
        return analysis.observation(Observation(engine="ready"))

    early = look(11.0)  # the ledger may still be behind by as much as it settles
    assert (early.mirrored.units, early.mirrored.judged, early.mirrored.harm["quality"]) == (62, 0, 1.0)
    seen = look(12.5)
    assert (seen.mirrored.judged, seen.mirrored.quality, seen.mirrored.live_quality) == (60, 1 / 3, 0.9)
    assert look(60.0).mirrored == seen.mirrored, "each counts once"
    done = advance(SHADOW, history, seen, config, T0 + 15_000)
    assert done is not None and (done.state, done.evidence["reason"]) == ("rolled_back", "worse than live in quality")
    assert done.evidence["mirrored_judged"] == 60 and done.evidence["live_quality"] == 0.9
