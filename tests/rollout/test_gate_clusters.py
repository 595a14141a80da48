"""Gates on cases that are not independent, on slices, and on suites that many candidates were judged on."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from test_gate import PROJECT, gate, live_of, report_on

from flyball.evaluation.item_scores import ItemScore
from flyball.records import name_of
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import decide, verify
from flyball.statistics.beta import binomial_cdf
from flyball.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper
from flyball.statistics.multiplicity import spent_share
from flyball.statistics.paired import fewest_pairs, tango_lower

AT_LEAST = GateRule(measure="exact_match", at_least=0.8)
NOT_WORSE = GateRule(measure="exact_match", not_worse_than_live=0.03)


def scores(values: Sequence[tuple[float, str | None]], **more: str) -> list[ItemScore]:
    """One score a case: (value, cluster)."""
    return [
        ItemScore(suite="test", item=f"i{k:05d}", measure="exact_match", score=value, cluster=cluster, groups=more)
        for k, (value, cluster) in enumerate(values)
    ]


def alike(dice: random.Random, *, clusters: int, size: int, rate: float, correlation: float) -> list[ItemScore]:
    """Cases right with `rate`, whose clusters are alike by `correlation` (beta-binomial)."""
    strength = 1.0 / correlation - 1.0
    found: list[tuple[float, str | None]] = []
    for cluster in range(clusters):
        own = dice.betavariate(rate * strength, (1.0 - rate) * strength)
        found += [(float(dice.random() < own), f"c{cluster}") for _ in range(size)]
    return scores(found)


def test_clustered_cases_that_should_not_pass_rarely_do() -> None:
    dice = random.Random(11)
    runs = [gate(AT_LEAST, alike(dice, clusters=20, size=20, rate=0.8, correlation=0.2)) for _ in range(200)]
    passed = sum(run.verdict == "pass" for run in runs) / len(runs)
    assert passed < 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(runs))
    naive = sum(
        clopper_pearson_lower(round(check.value * check.n), check.n, 0.05) >= 0.8
        for run in runs
        for check in run.checks
        if check.value is not None
    )
    assert naive / len(runs) > 0.12, "as if they were independent, many would"


def test_too_few_clusters_prove_nothing_and_say_how_many_are_needed() -> None:
    few = gate(AT_LEAST, scores([(float(k % 20 > 0), f"c{k % 19}") for k in range(1900)]))
    assert few.verdict == "inconclusive" and "19 clusters, and 20 are needed" in few.checks[0].reason


def test_where_hardly_a_cluster_fails_its_cases_count_as_all_alike() -> None:
    perfect = gate(AT_LEAST, scores([(1.0, f"c{k % 20}") for k in range(1900)])).checks[0]
    assert perfect.verdict == "pass" and perfect.bound == pytest.approx(0.05 ** (1 / 20)), "as 20 of 20, not 1,900"
    strict = GateRule(measure="exact_match", at_least=0.9)
    assert gate(strict, scores([(1.0, f"c{k % 20}") for k in range(1900)])).verdict == "inconclusive"
    few = gate(AT_LEAST, scores([(float(k % 40 > 8), f"c{k % 40}") for k in range(1900)])).checks[0]
    assert "as if all cases of one were alike (9 have a failure)" in few.reason and few.verdict == "inconclusive"
    dice = random.Random(3)
    alike_cases = [
        scores([(float(ok), f"c{c}") for c in range(25) for ok in [dice.random() < 0.8] * 4]) for _ in range(400)
    ]
    assert sum(gate(AT_LEAST, one).verdict == "pass" for one in alike_cases) / 400 < 0.05 + 3 * 0.011


def test_a_measure_that_says_nothing_of_a_case_does_not_count_it_as_missing() -> None:
    attacks = [ItemScore(suite="test", item=f"a{k}", measure="attack_success", score=0.0) for k in range(100)]
    others = [ItemScore(suite="test", item=f"b{k}", measure="over_refused", score=0.0) for k in range(100)]
    rule = GateRule(measure="attack_success", at_most=0.1)
    assert gate(rule, [*attacks, *others]).checks[0].n == 100
    assert gate(rule, [*attacks, *others], report=report_on([*attacks, *others], size=220)).checks[0].n == 120, (
        "20 lack"
    )


def test_pairs_in_clusters_are_judged_by_cluster() -> None:
    dice = random.Random(5)
    live = scores([(1.0, f"c{k // 20}") for k in range(1000)])
    worse = {f"c{n}" for n in dice.sample(range(50), 12)}
    ours = scores([(float(f"c{k // 20}" not in worse or dice.random() > 0.1), f"c{k // 20}") for k in range(1000)])
    check = gate(GateRule(measure="exact_match", not_worse_than_live=0.04), ours, live_of(live)).checks[0]
    assert "clusters" in check.reason and check.bound is not None
    alone = [ItemScore(suite="test", item=one.item, measure="exact_match", score=one.score) for one in ours]
    plain = gate(GateRule(measure="exact_match", not_worse_than_live=0.04), alone, live_of(live)).checks[0]
    assert plain.bound is not None and check.bound <= plain.bound


def test_a_rule_on_a_slice_looks_at_its_cases_alone() -> None:
    german = [
        ItemScore(suite="test", item=f"g{k}", measure="exact_match", score=float(k % 2), groups={"language": "de"})
        for k in range(100)
    ]
    english = scores([(1.0, None)] * 900, language="en")
    rules = [GateRule(measure="exact_match", at_least=0.8, slice=f"language={name}") for name in ("en", "de")]
    decision = gate(rules, [*german, *english])
    assert [(check.suite, check.verdict, check.n) for check in decision.checks] == [
        ("test/language=en", "pass", 900),
        ("test/language=de", "fail", 100),
    ]
    unknown = gate(GateRule(measure="exact_match", at_least=0.8, slice="language=fr"), english)
    assert unknown.verdict == "inconclusive"


@pytest.mark.parametrize("n", (99, 150, 400, 1000))
def test_a_candidate_that_never_wins_passes_at_the_margin_at_most_with_error_alpha(n: int) -> None:
    margin, alpha = 0.03, 0.05
    passing = [
        losses
        for losses in range(n + 1)
        if min(tango_lower(0, losses, n, alpha), -clopper_pearson_upper(losses, n, alpha)) > -margin
        and n >= fewest_pairs(margin, alpha)
    ]
    size = binomial_cdf(max(passing), n, margin) if passing else 0.0
    assert size <= alpha + 1e-9


def test_all_candidates_of_a_suite_together_spend_alpha_once() -> None:
    assert sum(spent_share(look) for look in range(1, 100_000)) == pytest.approx(1.0, abs=1e-4)
    dice, fooled = random.Random(7), 0
    for _ in range(80):  # a suite on which ten candidates exactly at the threshold are judged
        for look in range(1, 11):
            ours = scores([(float(dice.random() < 0.8), None) for _ in range(300)])
            report = report_on(ours)
            decision = decide(
                GateConfig(rules=(AT_LEAST,)),
                project=PROJECT,
                release=report.release,
                report=report,
                report_name=name_of(report),
                items=ours,
                baseline=None,
                looks={"test": look},
            )
            if decision.verdict == "pass":
                fooled += 1
                break
    assert fooled / 80 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 80)
    verify(decision, report, ours)
    assert decision.looks == {"test": look}
