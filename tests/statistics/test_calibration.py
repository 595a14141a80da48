"""Calibration: against scikit-learn and sums written out, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.statistics.calibration import (
    Sure,
    area_under_coverage,
    best_coverage,
    bounds,
    calibration_error,
    coverage,
    reliability,
)

ITEMS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def sure(pairs: list[tuple[float, bool]]) -> list[Sure]:
    return [Sure(confidence=confidence, right=right) for confidence, right in pairs]


def drawn(n: int, seed: int, *, off: float = 0.0) -> list[Sure]:
    """Confidences from .3 to 1, right as often as they say but for `off`."""
    dice = random.Random(seed)
    confidences = [0.3 + 0.7 * dice.random() for _ in range(n)]
    return [Sure(confidence=one, right=dice.random() < one - off) for one in confidences]


@given(ITEMS)
def test_the_calibration_error_is_the_sum_over_fifteen_bins(pairs: list[tuple[float, bool]]) -> None:
    total = 0.0
    for m in range(1, 16):
        some = [(c, r) for c, r in pairs if (m - 1) / 15 < c <= m / 15 or (m == 1 and c == 0)]
        if some:
            accuracy, confidence = sum(r for _, r in some) / len(some), sum(c for c, _ in some) / len(some)
            total += len(some) / len(pairs) * abs(accuracy - confidence)
    assert calibration_error(sure(pairs)) == pytest.approx(total, abs=1e-12)


@given(ITEMS, st.randoms())
def test_accuracy_by_coverage_is_that_of_every_threshold_in_any_order_of_the_cases(
    pairs: list[tuple[float, bool]], dice: random.Random
) -> None:
    area, before = 0.0, 0
    for threshold in sorted({c for c, _ in pairs}, reverse=True):
        kept = [r for c, r in pairs if c >= threshold]
        area += (len(kept) - before) * sum(kept) / len(kept) / len(pairs)
        before = len(kept)
    shuffled = list(pairs)
    dice.shuffle(shuffled)
    assert area_under_coverage(sure(shuffled)) == pytest.approx(area, abs=1e-12)
    last = list(coverage(sure(shuffled)))[-1]
    assert (last.n, last.right) == (len(pairs), sum(r for _, r in pairs))


def test_a_case_without_an_answer_is_as_far_off_as_can_be_and_comes_last() -> None:
    items = [Sure(confidence=1.0, right=True), Sure(confidence=0.0, right=False, answered=False)]
    assert calibration_error(items) == 0.5
    assert area_under_coverage(items) == 0.75  # 1 at half of the cases, ½ at all of them
    assert [one.n for one in coverage(items)] == [1]
    assert sum(one.n for one in reliability(items)) == 1


def test_the_best_threshold_answers_most_at_the_wanted_accuracy() -> None:
    items = sure([(0.9, True), (0.8, False), (0.7, True), (0.6, True), (0.5, False)])
    found = best_coverage(items, 0.75)
    assert found is not None and (found.threshold, found.n, found.right) == (0.6, 4, 3)
    assert best_coverage(sure([(0.9, False)]), 0.5) is None


def test_intervals_of_the_area_hold_its_true_value_as_often_as_they_say() -> None:
    truth = area_under_coverage(drawn(50_000, 0, off=0.1))
    held = 0
    for seed in range(1, 31):
        lower, upper = bounds(drawn(300, seed, off=0.1), 0.95)[1]
        held += lower <= truth <= upper
    assert held >= 25  # of 30; at 95 % each, fewer come with probability .003


def test_a_model_that_is_ten_points_too_sure_is_found_to_be_so() -> None:
    items = drawn(2000, 7, off=0.1)
    (lower, upper), _ = bounds(items, 0.95)
    assert lower <= 0.1 <= upper
    assert 0.05 < calibration_error(items) < 0.16
    assert calibration_error(drawn(20_000, 7)) < 0.02
    assert bounds(items, 0.95) == bounds(items, 0.95)
