"""The advice on a gate that did not pass: more cases only where the value itself holds."""

from __future__ import annotations

import pytest

from flyball.monitoring.gate_cures import cure_of
from flyball.records import Check, Verdict
from flyball.rollout.config import GateRule
from flyball.rollout.gate import check_of
from flyball.rollout.gate_bounds import scores_against


def check(
    rule: str, threshold: float, value: float | None, *, verdict: Verdict = "inconclusive", n: int = 100
) -> Check:
    return Check(
        measure="exact_match",
        suite="test",
        rule=rule,  # type: ignore[arg-type]
        threshold=threshold,
        value=value,
        bound=value,
        n=n,
        verdict=verdict,
        reason="",
        needed_n=412,
    )


@pytest.mark.parametrize(
    ("rule", "threshold", "value"),
    [
        ("at_least", 0.6, 0.5135),
        ("at_most", 0.1, 0.2),
        ("not_worse_than_live", 0.03, -0.05),
        ("better_than_live", 0.0, -0.01),
    ],
)
def test_where_the_value_itself_misses_no_test_rows_are_asked_for(rule: str, threshold: float, value: float) -> None:
    said = cure_of((check(rule, threshold, value),), "inconclusive")
    assert "more test rows do not change that" in said and "better rows" in said and f"{value:.4g}" in said
    assert "add test rows" not in said


@pytest.mark.parametrize(
    ("rule", "threshold", "value"),
    [("at_least", 0.6, 0.65), ("at_most", 0.1, 0.05), ("not_worse_than_live", 0.03, -0.01)],
)
def test_where_only_the_bound_misses_the_number_of_cases_is_told(rule: str, threshold: float, value: float) -> None:
    said = cure_of((check(rule, threshold, value),), "inconclusive")
    assert "about 412 cases would probably decide it" in said and "add test rows" in said


def test_nothing_measured_asks_for_suites() -> None:
    assert "evaluate.suites" in cure_of((check("at_least", 0.6, None, n=0),), "inconclusive")


def test_a_failed_rule_is_said_to_be_proven_below_its_threshold() -> None:
    rule = GateRule(measure="exact_match", suite="test", at_least=0.6)
    judged = scores_against([1.0] * 20 + [0.0] * 80, "at_least", 0.6, 0.05)
    failed = check_of(rule, judged, is_broken=True)
    assert "proven to be below 0.6" in failed.reason and "does not prove" not in failed.reason
    assert "does not prove 0.6" in check_of(rule, judged, is_broken=False).reason
    assert "better rows" in cure_of((failed,), "fail")
