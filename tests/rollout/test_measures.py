"""Each measure of a rollout: what it takes in, what harms, what promotes; and what is doubted."""

from __future__ import annotations

import random

import pytest

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.measures import BURN_IN, CAP, Measures, Shares
from flyball.rollout.outages import OutageWatch
from flyball.rollout.units import Unit, UnitScores, is_blocked, quality_of, says_nothing, scores_of
from flyball.rollout.validity_checks import Responses, doubts_of, ratio_figures
from flyball.statistics.sample_ratio import SampleRatio
from record_samples import feedback_record, request_record

T0 = 1_790_000_000_000
UNTIL = T0 + 10_000


def unit_of(*records: RequestRecord) -> Unit:
    unit = Unit(first_ms=T0, frozen_ms=UNTIL)
    for record in records:
        unit.add(record)
    return unit


def verdict(record: RequestRecord, score: float, at_ms: int = T0 + 1) -> dict[str, list[object]]:
    return {record.id: [feedback_record(request=record.id, score=score, judge="ann", at_ms=at_ms)]}


@pytest.mark.parametrize(
    ("changes", "blocked", "nothing"),
    [
        ({"finish_reason": "content_filter"}, True, False),
        ({"outcome": "refused", "status": 400, "error": "invalid_request"}, True, False),
        ({"outcome": "refused", "status": 413, "error": "engine_status:413"}, True, False),
        ({"outcome": "refused", "status": 429}, False, True),
        ({"outcome": "refused", "status": 403}, False, True),
        ({"outcome": "ok"}, False, False),
    ],
)
def test_a_release_blocks_what_it_will_not_answer_and_not_what_the_caller_may_not_ask(
    changes: dict[str, object], blocked: bool, nothing: bool
) -> None:
    record = request_record(**changes)
    assert (is_blocked(record), says_nothing(record)) == (blocked, nothing)


def test_a_unit_has_one_score_per_measure() -> None:
    good = request_record(total_ms=100.0, cost_usd=0.001)
    dear = request_record(total_ms=300.0, cost_usd=0.003)
    failed = request_record(outcome="error", total_ms=900.0, cost_usd=0.002)
    unit = unit_of(good, dear, failed, request_record(outcome="refused", status=400))
    said = {good.id: [feedback_record(request=good.id, score=0.0)], dear.id: [feedback_record(request=dear.id)]}
    for words in said.values():
        words[0] = feedback_record(request=words[0].request, score=words[0].score, at_ms=T0 + 5)
    scores = scores_of(unit, said, until_ms=UNTIL)
    assert scores == UnitScores(failures=0.0, blocked=0.0, latency_ms=300.0, cost_usd=0.002, feedback=0.5)


def test_quality_is_what_judges_say_and_an_answer_that_failed_is_worth_nothing() -> None:
    answered, failed = request_record(), request_record(outcome="error")
    unit = unit_of(answered, failed)
    assert quality_of(unit, verdict(answered, 1.0), until_ms=UNTIL) == 0.5
    assert quality_of(unit, verdict(answered, 1.0, at_ms=UNTIL + 1), until_ms=UNTIL) is None
    assert quality_of(unit, {answered.id: [feedback_record(request=answered.id)]}, until_ms=UNTIL) is None
    assert quality_of(unit_of(failed), {}, until_ms=UNTIL) == 0.0
    assert quality_of(unit_of(request_record(outcome="aborted")), {}, until_ms=UNTIL) is None


def test_feedback_alone_never_promotes_and_nothing_judged_is_nothing_proven() -> None:
    measures, dice = Measures(RolloutConfig()), random.Random(1)
    for _ in range(4000):
        arm = "candidate" if dice.random() < 0.3 else "live"
        measures.update(arm, UnitScores(failures=1.0, latency_ms=50.0, feedback=1.0, cost_usd=0.0))
    not_worse = measures.not_worse
    assert set(not_worse) == {"failures", "blocked", "latency", "quality"}  # nothing costs anything
    assert not_worse["quality"].p_value == 1.0
    assert max(not_worse[name].p_value for name in ("failures", "blocked", "latency")) < 0.001
    assert set(measures.harm) == {"failures", "blocked", "latency", "feedback"}


def test_costs_are_capped_at_a_multiple_of_the_first_units_which_are_not_scored() -> None:
    measures = Measures(RolloutConfig())
    for _ in range(BURN_IN):
        measures.cost.update("live", 0.002)
    measures.cost.update("candidate", 1.0)
    measures.cost.update("live", 0.002)
    assert measures.cost.cap_usd == pytest.approx(CAP * 0.002)
    assert measures.cost.units == {"candidate": 1, "live": 1}
    assert measures.cost.totals["candidate"] == pytest.approx(measures.cost.cap_usd)
    figures = measures.cost.figures()
    assert figures["burn_in_units"] == BURN_IN and figures["candidate"]["usd"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("latency", {"latency_ms": 300.0}), ("cost", {"cost_usd": 0.003}), ("blocked", {"blocked": 0.0})],
)
def test_three_times_slower_or_dearer_or_all_blocked_is_found_within_forty_canary_units(
    name: str, changes: dict[str, float]
) -> None:
    measures, dice, canary = Measures(RolloutConfig()), random.Random(2), 0
    while measures.by_name[name].harm.p_value > 0.05 / 6:
        mine = dice.random() < 0.1
        canary += mine
        noise = dice.lognormvariate(0, 0.5)
        scores = {"latency_ms": 100.0, "cost_usd": 0.001, **(changes if mine else {})}
        scores = {key: value * noise if key in ("latency_ms", "cost_usd") else value for key, value in scores.items()}
        measures.update("candidate" if mine else "live", UnitScores(failures=1.0, **scores))
    assert canary <= 40


def test_a_single_time_out_is_no_evidence_and_an_outage_is_found_within_five_failures_after_a_long_good_past() -> None:
    watch = OutageWatch(0.0)
    for n in range(10_000):
        watch.take(f"u{n}", False, n)
    watch.take("unlucky", True, 10_000)
    assert not watch.alarm
    failures = 1
    while not watch.alarm:
        failures += 1
        watch.take(f"v{failures}", True, 10_000 + failures)
    assert failures <= 5 and watch.since_ms == 10_000


def test_one_client_whose_prompt_always_fails_is_no_outage_while_others_are_answered() -> None:
    watch = OutageWatch(0.0)
    for n in range(200):
        watch.take(f"u{n % 7}", False, n)
        watch.take("poison", True, n)
    assert not watch.alarm
    alone = OutageWatch(0.0)
    for n in range(5):
        alone.take("only one", True, n)
    assert alone.alarm


def test_an_outage_of_both_releases_is_not_the_candidates() -> None:
    made = Evidence(candidate="new", live="old", config=RolloutConfig(), in_sample=lambda unit: False)
    made.shares = [(T0, 0.5)]
    failing = [
        request_record(unit=f"{arm}{n}", deployment=arm, started_ms=T0 + n, outcome="error")
        for n in range(8)
        for arm in ("old", "new")
    ]
    made.take(failing)
    assert made.watches["candidate"].alarm and not made.outage
    later = T0 + 100_000
    made.take([request_record(unit=f"x{n}", deployment="new", started_ms=later + n) for n in range(100)])
    made.take([request_record(unit=f"y{n}", deployment="new", started_ms=later + n, outcome="error") for n in range(6)])
    assert made.outage and made.failing_since_ms == later


def test_verdicts_that_one_arm_misses_are_a_doubt_with_the_worst_case_in_words_and_figures() -> None:
    measure, dice = Shares(0.1), random.Random(3)
    judged = Responses("judged answers", measure)
    for _ in range(2000):
        arm = "candidate" if dice.random() < 0.5 else "live"
        answered = dice.random() < (0.5 if arm == "candidate" else 0.9)
        judged.update(arm, answered)
        if answered:
            measure.update(arm, 1.0)
    (doubt,) = doubts_of({}, [judged])
    assert doubt.startswith("judged answers came from 49%") and "of live's" in doubt and "points better" in doubt
    low, high = judged.worst_case
    assert -0.55 < low < -0.45 and 0.05 < high < 0.15
    assert judged.figures()["worst_case_difference"] == [round(low, 4), round(high, 4)]


def test_equal_response_rates_and_a_right_split_leave_no_doubt() -> None:
    judged = Responses("judged answers", Shares(0.1))
    for n in range(600):
        judged.update("candidate" if n % 2 else "live", n % 6 < 4)
    right = SampleRatio(0.1, canary=100, live=900)
    right.update()
    assert doubts_of({0: right}, [judged]) == ()
    wrong = SampleRatio(0.1)
    wrong.update(canary=20, live=980)
    assert "has 20 of 1000 units at step 1, not 10%" in doubts_of({0: wrong}, [])[0]
    (figures,) = ratio_figures({0: right})
    assert 0.0 < figures["loss_excluded_above"] < 0.5 < 0.2 + figures["loss_found_with_power_80"]


def test_feedback_is_no_harm_while_one_arm_gives_it_more_often() -> None:
    made = Evidence(candidate="new", live="old", config=RolloutConfig(judge_after_s=0.0), in_sample=lambda unit: False)
    made.shares = [(T0, 0.5)]
    records, said = [], {}
    for n in range(600):
        mine = n % 2 == 0
        record = request_record(unit=f"u{n}", deployment="new" if mine else "old", started_ms=T0 + n)
        records.append(record)
        if n % (4 if mine else 12) < 2:
            words = feedback_record(request=record.id, score=0.0 if mine else 1.0, at_ms=record.started_ms)
            said[record.id] = [words]
    made.take(records)
    made.judge(made.due(T0 + 600_000), said)
    assert made.measures.feedback.harm.p_value < 0.001
    assert "feedback" not in made.harm and "feedback came from" in made.doubts[0]
    assert set(made.figures) == {"measures", "sample_ratio", "responses"}


@pytest.mark.parametrize(("slower", "harmful"), [(1.12, False), (1.6, True)])
def test_slower_is_harm_only_beyond_the_margin(slower: float, harmful: bool) -> None:
    measures, dice = Measures(RolloutConfig(margin_latency=0.25)), random.Random(3)
    for _ in range(6000):
        mine = dice.random() < 0.4
        time_ms = 100.0 * dice.lognormvariate(0, 0.3) * (slower if mine else 1.0)
        measures.latency.update("candidate" if mine else "live", time_ms)
    assert (measures.latency.harm.p_value <= 0.05 / 6) == harmful
    assert (measures.latency.not_worse.p_value <= 0.05) != harmful
