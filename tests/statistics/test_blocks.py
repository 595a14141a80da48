"""Intervals over blocks of time cover as often as they say, also where neighbours are alike."""

from __future__ import annotations

import math
import random

import pytest

from flyball.statistics.blocks import quantile_in_blocks, rate_in_blocks, share_in_blocks
from flyball.statistics.intervals import quantile_interval

RUNS, BLOCKS, EACH = 300, 20, 50


def test_a_quantile_of_autocorrelated_values_is_covered_where_independence_would_not_do() -> None:
    """Blocks share a level, as the waiting times of one busy stretch do; the true median is 0."""
    draw, covered, naive = random.Random(7), 0, 0
    for _ in range(RUNS):
        values, blocks = [], []
        for block in range(BLOCKS):
            level = draw.gauss(0, 1)
            values += [level + draw.gauss(0, 1) for _ in range(EACH)]
            blocks += [block] * EACH
        found = quantile_in_blocks(values, blocks, 0.5, 0.9)
        covered += found.lower <= 0.0 <= found.upper
        low, high = quantile_interval(sorted(values), 0.5, 0.9)
        naive += low <= 0.0 <= high
    assert covered / RUNS >= 0.86 and naive / RUNS < 0.5


def test_too_few_values_bound_a_high_quantile_by_nothing() -> None:
    assert math.isinf(quantile_in_blocks([1.0] * 50, [0] * 50, 0.99, 0.9).upper)
    assert quantile_in_blocks([1.0] * 400, [0] * 400, 0.99, 0.9).upper == 1.0


def test_values_that_never_came_stand_above_all_others() -> None:
    found = quantile_in_blocks([1.0] * 90 + [math.inf] * 10, list(range(20)) * 5, 0.99, 0.9)
    assert math.isinf(found.value)


def test_a_share_is_never_surer_than_independent_cases_would_be() -> None:
    alike = share_in_blocks([1.0] * 50 + [0.0] * 50, [0] * 50 + [1] * 50, 0.9)
    mixed = share_in_blocks([1.0, 0.0] * 50, [n // 10 for n in range(100)], 0.9)
    assert (alike.lower, alike.upper) == (0.0, 1.0)
    assert mixed.lower == pytest.approx(0.4141, abs=1e-3)


def test_a_rate_counts_by_the_whole_time() -> None:
    found = rate_in_blocks([10.0, 12.0, 8.0, 10.0], 2.0, 0.9)
    assert found.value == pytest.approx(20.0) and found.lower < 20.0 < found.upper
