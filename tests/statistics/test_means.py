"""Bounds for the mean of bounded scores hold without any assumption on their distribution."""

from __future__ import annotations

import random

import pytest

from flyball.statistics.means import mean_at_least_p_value, mean_at_most_p_value, mean_lower, mean_upper


@pytest.mark.parametrize("draw", ["coin", "uniform", "rare"])
def test_a_lower_bound_exceeds_the_true_mean_in_at_most_alpha_of_the_runs(draw: str) -> None:
    """300 samples of 120; tolerance .05 + .025 (two standard errors)."""
    dice = random.Random(draw)
    sources = {
        "coin": (lambda: float(dice.random() < 0.8), 0.8),
        "uniform": (dice.random, 0.5),
        "rare": (lambda: float(dice.random() < 0.02), 0.02),
    }
    source, mean = sources[draw]
    over = sum(mean_lower([source() for _ in range(120)], 0.05) > mean for _ in range(300))
    assert over / 300 <= 0.075


def test_bounds_close_in_on_the_mean_and_mirror_each_other() -> None:
    dice = random.Random(1)
    values = [0.6 + 0.2 * dice.random() for _ in range(1000)]
    low, high = mean_lower(values, 0.05), mean_upper(values, 0.05)
    assert 0.67 < low < 0.7 < high < 0.73
    assert mean_upper(values, 0.05) == pytest.approx(1 - mean_lower([1 - value for value in values], 0.05))
    assert (mean_lower([], 0.05), mean_upper([], 0.05)) == (0.0, 1.0)


def test_a_p_value_is_small_exactly_where_the_bound_says_so() -> None:
    dice = random.Random(2)
    values = [dice.random() for _ in range(400)]
    low = mean_lower(values, 0.05)
    assert mean_at_most_p_value(values, low - 0.001, 0.05) < 0.05 < mean_at_most_p_value(values, low + 0.001, 0.05)
    assert mean_at_least_p_value(values, 0.7, 0.05) < 0.01
    assert mean_at_most_p_value([], 0.5, 0.05) == 1.0
