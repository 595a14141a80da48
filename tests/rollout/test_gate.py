"""The gate says yes only on evidence, no only when proven, and what is missing otherwise."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.errors import ConfigError, CorruptionError, InputError
from flyball.evaluation.item_scores import ItemScore, items_hash
from flyball.evaluation.measures.summaries import errors, measures_of
from flyball.records import EvalReport, GateDecision, SuiteRef, canonical_bytes, name_of, parse
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import Baseline, decide, verify

PROJECT = "shop"
AT_LEAST = GateRule(measure="exact_match", at_least=0.8)
NOT_WORSE = GateRule(measure="exact_match", not_worse_than_live=0.03)


def outcomes(right: int, n: int) -> list[ItemScore]:
    return [ItemScore(suite="test", item=f"i{k:05d}", measure="exact_match", score=float(k < right)) for k in range(n)]


def report_on(
    scores: Sequence[ItemScore], release: str = "a" * 64, *, size: int | None = None, suite: str = "f", path: int = 1
) -> EvalReport:
    counted = size if size is not None else len({score.item for score in scores})
    return EvalReport(
        project=PROJECT,
        release=release,
        dataset=None,
        suites=(SuiteRef(name="test", fingerprint=suite * 64, items=counted),),
        measures=(
            *measures_of(scores, level=0.95),
            *(errors(s, [x for x in scores if x.suite == s], 0.95) for s in dict.fromkeys(x.suite for x in scores)),
        ),
        items_hash=items_hash(scores),
        failures=0,
        engine="llama.cpp",
        prompt_path=path,
    )


def live_of(scores: Sequence[ItemScore], **changes: Any) -> Baseline:
    report = report_on(scores, "b" * 64, **changes)
    return Baseline(release="b" * 64, report=report, report_name=name_of(report), items=scores)


def gate(
    rules: GateRule | Sequence[GateRule],
    scores: Sequence[Any],
    live: Baseline | None = None,
    *,
    report: EvalReport | None = None,
    alpha: float = 0.05,
) -> GateDecision:
    report = report or report_on(scores)
    chosen = (rules,) if isinstance(rules, GateRule) else tuple(rules)
    return decide(
        GateConfig(alpha=alpha, rules=chosen),
        project=PROJECT,
        release=report.release,
        report=report,
        report_name=name_of(report),
        items=scores,
        baseline=live,
    )


def test_a_share_passes_on_its_exact_lower_bound_and_not_on_its_value() -> None:
    assert gate(AT_LEAST, outcomes(900, 1000)).verdict == "pass"
    close = gate(AT_LEAST, outcomes(82, 100))
    assert close.verdict == "inconclusive"
    check = close.checks[0]
    assert check.value == 0.82 and check.bound is not None and check.bound < 0.8
    assert check.needed_n is not None and check.needed_n > 100


def test_a_share_proven_too_low_fails() -> None:
    decision = gate(AT_LEAST, outcomes(600, 1000))
    assert (decision.verdict, decision.checks[0].verdict) == ("fail", "fail")
    assert "lower bound 0.57" in decision.checks[0].reason


def test_the_needed_sample_is_enough_when_the_observed_rate_holds() -> None:
    check = gate(AT_LEAST, outcomes(82, 100)).checks[0]
    assert check.needed_n is not None
    n = check.needed_n + 20  # counts are whole
    assert gate(AT_LEAST, outcomes(-(-82 * n // 100), n)).verdict == "pass"


def test_errors_have_a_rule_of_their_own() -> None:
    scores = [
        ItemScore(suite="test", item=f"i{k}", measure="exact_match", score=0.0, error="400" if k < 4 else None)
        for k in range(100)
    ]
    assert gate(GateRule(measure="errors", at_most=0.1), scores).verdict == "pass"
    assert gate(GateRule(measure="errors", at_most=0.05), scores).verdict == "inconclusive"
    assert gate(GateRule(measure="errors", at_most=0.005), scores).verdict == "fail"
    with pytest.raises(ConfigError, match="cannot be at_least"):
        gate(GateRule(measure="errors", at_least=0.1), scores)


def test_nothing_measured_is_inconclusive_and_says_what_was() -> None:
    decision = gate(GateRule(measure="bleu", at_least=0.1), outcomes(10, 10))
    assert (decision.verdict, decision.checks[0].n) == ("inconclusive", 0)
    assert decision.checks[0].reason == "test.bleu was not measured (only test.errors, test.exact_match)"


def test_without_a_live_release_rules_against_it_constrain_nothing() -> None:
    decision = gate((AT_LEAST, NOT_WORSE), outcomes(90, 90))
    assert decision.verdict == "pass"
    assert decision.checks[1].reason == "no other release is live to compare with"


def test_a_gate_that_measured_nothing_at_all_is_inconclusive_though_no_rule_objects() -> None:
    assert gate(NOT_WORSE, outcomes(90, 90)).verdict == "inconclusive"


def test_an_identical_candidate_passes_from_the_number_of_pairs_that_the_margin_needs() -> None:
    for n, verdict in ((98, "inconclusive"), (99, "pass")):  # ln .05 / ln .97 = 98.4
        assert gate(NOT_WORSE, outcomes(80, n), live_of(outcomes(80, n))).verdict == verdict
    short = gate(NOT_WORSE, outcomes(80, 98), live_of(outcomes(80, 98))).checks[0]
    assert short.needed_n == 99


def test_a_clearly_worse_candidate_fails_and_a_little_worse_one_is_inconclusive() -> None:
    live = live_of(outcomes(850, 1000))
    assert gate(NOT_WORSE, outcomes(700, 1000), live).verdict == "fail"
    unsure = gate(NOT_WORSE, outcomes(825, 1000), live).checks[0]
    assert unsure.verdict == "inconclusive"
    assert unsure.value == pytest.approx(-0.025)
    assert unsure.needed_n is not None and unsure.needed_n > 1000


def test_better_than_live_needs_a_proven_lead() -> None:
    lead = GateRule(measure="exact_match", better_than_live=0.02)
    live = live_of(outcomes(800, 1000))
    assert gate(lead, outcomes(900, 1000), live).verdict == "pass"
    assert gate(lead, outcomes(825, 1000), live).verdict == "inconclusive"
    assert gate(lead, outcomes(800, 1000), live).verdict == "fail"


def test_what_the_candidate_did_not_answer_counts_as_wrong() -> None:
    scores = outcomes(950, 950)
    missing = gate(AT_LEAST, scores, report=report_on(scores, size=1250))
    assert (missing.checks[0].n, missing.checks[0].value) == (1250, 0.76)
    failed = [msgspec.structs.replace(score, error="time-out", score=0.0) for score in outcomes(300, 300)]
    assert gate(AT_LEAST, failed).verdict == "fail"


def test_what_was_not_answered_counts_as_bad_where_less_is_better() -> None:
    rule = GateRule(measure="exact_match", at_most=0.1)
    assert gate(rule, outcomes(0, 100)).verdict == "pass"
    silent = [msgspec.structs.replace(score, error="time-out") for score in outcomes(0, 100)]
    assert gate(rule, silent).verdict == "fail"


def test_pairs_are_refused_on_measures_of_which_less_is_better() -> None:
    rule = GateRule(measure="attack_success", not_worse_than_live=0.03)
    worse, safe = (
        [msgspec.structs.replace(row, measure="attack_success") for row in outcomes(right, 1000)]
        for right in (900, 100)
    )
    with pytest.raises(ConfigError, match="less attack_success is better"):
        gate(rule, worse, live_of(safe))


def test_a_live_release_that_did_not_answer_never_helps_the_candidate() -> None:
    ours = outcomes(700, 1000)
    silent = [msgspec.structs.replace(s, score=0.0, error="time-out") for s in outcomes(1000, 1000)]
    decision = gate(NOT_WORSE, ours, live_of(silent))
    assert decision.verdict == "inconclusive"  # neither proven harmless nor proven worse
    half = outcomes(850, 1000)[:500]
    assert gate(NOT_WORSE, ours, live_of(half, size=1000)).verdict == "inconclusive"


def test_a_baseline_on_other_items_or_through_another_prompt_path_is_refused() -> None:
    ours = outcomes(900, 1000)
    for changes, word in (({"suite": "e"}, "another version of the suite test"), ({"path": 2}, "prompt path 2")):
        with pytest.raises(InputError, match=word) as refusal:
            gate(NOT_WORSE, ours, live_of(ours, **changes))
        assert "flyball gate" in refusal.value.cure


def test_a_report_on_another_release_or_project_is_refused() -> None:
    scores = outcomes(9, 10)
    report = report_on(scores)
    for changes in ({"release": "c" * 64}, {"project": "other"}):
        arguments: dict[str, Any] = {"project": PROJECT, "release": report.release, **changes}
        with pytest.raises(InputError, match="the report is o"):
            decide(GateConfig(), report=report, report_name="r", items=scores, baseline=None, **arguments)


def test_items_that_are_not_the_reports_are_refused() -> None:
    scores = outcomes(900, 1000)
    report = report_on(scores)
    better = [msgspec.structs.replace(score, score=1.0) for score in scores]
    with pytest.raises(CorruptionError, match="not those of the report"):
        gate(AT_LEAST, better, report=report)
    doubled = [*scores, scores[0]]
    with pytest.raises(CorruptionError, match="two scores"):
        gate(AT_LEAST, doubled, report=report_on(doubled, size=1000))


def test_mappings_and_scores_from_a_file_give_the_same_decision() -> None:
    scores = outcomes(900, 1000)
    report = report_on(scores)
    mappings = [{**msgspec.to_builtins(score), "slice": None} for score in scores]
    assert gate(AT_LEAST, mappings, report=report) == gate(AT_LEAST, scores, report=report)


@pytest.mark.parametrize("rule", [GateRule(measure="x"), GateRule(measure="x", at_least=0.1, at_most=0.2)])
def test_a_rule_makes_exactly_one_comparison(rule: GateRule) -> None:
    with pytest.raises(ConfigError, match="comparisons"):
        gate(rule, outcomes(1, 2))


def test_a_gate_without_rules_is_refused() -> None:
    with pytest.raises(ConfigError, match="no rules"):
        gate((), outcomes(1, 2))


def labelled(answers: Callable[[int], str | None], n: int) -> list[ItemScore]:
    return [
        ItemScore(
            suite="test",
            item=f"i{k:05d}",
            measure="accuracy",
            score=float(answers(k) == "ab"[k % 2]),
            expected="ab"[k % 2],
            answer=answers(k),
        )
        for k in range(n)
    ]


def test_macro_f1_is_decided_on_a_seeded_bootstrap_bound() -> None:
    mostly = labelled(lambda k: "ab"[k % 2] if k % 10 else None, 600)
    rule = GateRule(measure="macro_f1", at_least=0.9)
    decision = gate(rule, mostly)
    assert decision.verdict == "pass"
    assert "bootstrap" in decision.checks[0].reason
    assert gate(rule, mostly) == decision
    assert gate(rule, labelled(lambda k: "a", 600)).verdict == "fail"  # always the same label: macro F1 is 1/3
    assert gate(rule, mostly[:300], report=report_on(mostly[:300], size=600)).verdict == "inconclusive"


def test_macro_f1_is_compared_with_live_on_the_same_items() -> None:
    rule = GateRule(measure="macro_f1", not_worse_than_live=0.05)
    good = labelled(lambda k: "ab"[k % 2] if k % 10 else None, 600)
    assert gate(rule, good, live_of(good)).verdict == "pass"
    assert gate(rule, labelled(lambda k: "a", 600), live_of(good)).verdict == "fail"


def timed(milliseconds: Sequence[float], failed: int = 0) -> list[ItemScore]:
    return [
        ItemScore(suite="test", item=f"i{k}", measure="latency_ms", score=ms, error="time-out" if k < failed else None)
        for k, ms in enumerate(milliseconds)
    ]


def test_a_latency_quantile_is_decided_by_order_statistics_and_silence_is_late() -> None:
    rule = GateRule(measure="latency_p99_ms", at_most=50.0)
    assert gate(rule, timed([10.0] * 298)).verdict == "inconclusive"  # .99^298 > .05
    assert gate(rule, timed([10.0] * 298)).checks[0].needed_n == 299
    assert gate(rule, timed([10.0] * 299)).verdict == "pass"
    assert gate(rule, timed([10.0] * 299, failed=30)).verdict == "fail"
    assert gate(rule, timed([90.0] * 299)).verdict == "fail"
    with pytest.raises(ConfigError, match="cannot be at_least"):
        gate(GateRule(measure="latency_p50_ms", at_least=1.0), timed([1.0]))


def graded(mean: float, n: int, seed: int) -> list[ItemScore]:
    dice = random.Random(seed)
    return [
        ItemScore(suite="test", item=f"i{k:05d}", measure="rouge", score=min(1.0, max(0.0, dice.gauss(mean, 0.1))))
        for k in range(n)
    ]


def test_graded_scores_are_decided_on_bounds_for_bounded_means() -> None:
    rule = GateRule(measure="rouge", at_least=0.6)
    assert gate(rule, graded(0.7, 500, 1)).verdict == "pass"
    assert gate(rule, graded(0.5, 500, 1)).verdict == "fail"
    assert gate(rule, graded(0.605, 100, 1)).verdict == "inconclusive"
    paired = GateRule(measure="rouge", not_worse_than_live=0.1)
    assert gate(paired, graded(0.7, 500, 1), live_of(graded(0.7, 500, 2))).verdict == "pass"
    assert gate(paired, graded(0.4, 500, 1), live_of(graded(0.7, 500, 2))).verdict == "fail"


def test_a_measure_without_items_is_decided_on_the_reports_interval_if_its_level_suffices() -> None:
    scores = outcomes(900, 1000)
    report = report_on(scores)
    summary = dataclasses.replace(report.measures[0], name="summary")
    report = dataclasses.replace(report, measures=(*report.measures, summary))
    rule = GateRule(measure="summary", at_least=0.8)
    assert gate(rule, scores, report=report).verdict == "pass"
    weak = gate(rule, scores, report=report, alpha=0.01)
    assert weak.verdict == "inconclusive" and "too weak" in weak.checks[0].reason


def test_failing_is_corrected_for_the_number_of_rules() -> None:
    """One rule at p = .03 fails alone, but not beside nine that hold (Holm)."""
    scores = outcomes(73, 100)
    alone = GateRule(measure="exact_match", at_least=0.81)
    assert gate(alone, scores).checks[0].verdict == "fail"
    others = [GateRule(measure="exact_match", at_least=0.01 * k) for k in range(1, 10)]
    assert gate([alone, *others], scores).checks[0].verdict == "inconclusive"


def test_a_kept_decision_recomputes_and_an_altered_one_is_found() -> None:
    ours, live = outcomes(900, 1000), live_of(outcomes(880, 1000))
    decision = gate((AT_LEAST, NOT_WORSE), ours, live)
    kept = parse(canonical_bytes(decision), GateDecision)
    verify(kept, report_on(ours), ours, baseline=live)
    with pytest.raises(CorruptionError, match="another baseline"):
        verify(kept, report_on(ours), ours)
    with pytest.raises(CorruptionError, match="not on this one"):
        verify(kept, report_on(outcomes(899, 1000)), outcomes(899, 1000), baseline=live)
    forged = dataclasses.replace(kept, checks=(dataclasses.replace(kept.checks[0], bound=0.99), kept.checks[1]))
    with pytest.raises(CorruptionError, match=r"test\.exact_match at_least"):
        verify(forged, report_on(ours), ours, baseline=live)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 300), st.floats(0.0, 1.0))
def test_more_right_answers_never_turn_a_yes_into_less(right: int, more: int, n: int, threshold: float) -> None:
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    rule = GateRule(measure="exact_match", at_least=threshold)
    few, many = min(right, n), min(right + more, n)
    assert order[gate(rule, outcomes(many, n)).verdict] >= order[gate(rule, outcomes(few, n)).verdict]


def test_a_candidate_at_its_margin_is_admitted_in_about_alpha_of_the_runs() -> None:
    """600 candidates truly worse by the margin on 200 items; tolerance .05 + .018 (two standard errors)."""
    dice, passed = random.Random(12), 0
    policy = GateConfig(rules=(GateRule(measure="exact_match", not_worse_than_live=0.05),))
    for _ in range(600):
        kinds = dice.choices((0, 1, 2), weights=(0.05, 0.10, 0.85), k=200)  # won, lost, both right
        ours = [score(k, kind != 1) for k, kind in enumerate(kinds)]
        theirs = [score(k, kind != 0) for k, kind in enumerate(kinds)]
        report = quick_report(ours)
        live = Baseline(release="a", report=quick_report(theirs), report_name="l", items=theirs)
        passed += (
            decide(
                policy, project=PROJECT, release="a", report=report, report_name="r", items=ours, baseline=live
            ).verdict
            == "pass"
        )
    assert 0.015 <= passed / 600 <= 0.068


def score(index: int, right: bool) -> ItemScore:
    return ItemScore(suite="test", item=str(index), measure="exact_match", score=float(right))


def quick_report(scores: Sequence[ItemScore]) -> EvalReport:
    return dataclasses.replace(report_on(scores[:1], "a", size=len(scores)), items_hash=items_hash(scores))
