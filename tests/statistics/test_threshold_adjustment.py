"""Thresholds by group equalise rates as far as equal probabilities allow."""

from __future__ import annotations

import math

import pytest

from fairness_samples import sample
from flyball.errors import InputError
from flyball.statistics.fairness import GAPS, counted
from flyball.statistics.threshold_adjustment import group_thresholds


def test_selection_rates_or_true_positive_rates_become_equal_on_other_cases() -> None:
    chosen, judged = sample(11, 4000), sample(12, 4000)
    due = [case for case in chosen if case.truth]
    for cases, metric in ((chosen, "statistical_parity_difference"), (due, "equal_opportunity_difference")):
        limits = group_thresholds([case.probability for case in cases], [case.sex for case in cases])
        before, after = (
            GAPS[metric](
                [counted((bool(c.truth), c.probability >= of[sex]) for c in judged if c.sex == sex) for sex in (0, 1)]
            )
            for of in ({0: 0.5, 1: 0.5}, limits)
        )
        assert before > 0.15 and after < 0.05


def test_equal_probabilities_are_never_divided() -> None:
    assert group_thresholds([0.9, 0.4, 0.4, 0.4], ["a"] * 4, 0.5) == {"a": 0.9}
    assert group_thresholds([0.9, 0.4, 0.4, 0.4], ["a"] * 4, 0.8) == {"a": 0.4}
    assert group_thresholds([0.3, 0.2], ["a", "b"], 0.0) == {"a": math.inf, "b": math.inf}


def test_impossible_thresholds_are_refused() -> None:
    for probabilities, groups, share in (([0.5], [], None), ([1.5], ["a"], None), ([math.nan], ["a"], None)):
        with pytest.raises(InputError):
            group_thresholds(probabilities, groups, share)
    with pytest.raises(InputError, match="share of 2"):
        group_thresholds([0.5], ["a"], 2.0)
