"""Families of tests keep their error; a stream of tests keeps its false discoveries."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.statistics.multiplicity import e_lond, holm, holm_adjusted


def test_holm_equals_a_worked_example() -> None:
    """Holm 1979's procedure on .01, .04, .03, .005: .03, .06, .06, .02."""
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([], 0.05) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_all_that_bonferroni_rejects_and_only_small_p_values(p_values: list[float]) -> None:
    for p_value, rejected in zip(p_values, holm(p_values, 0.05), strict=True):
        assert rejected or p_value > 0.05 / len(p_values)
        assert p_value <= 0.05 or not rejected


def all_or_nothing(dice: random.Random) -> float:
    """An e-value under its null that is as often large as may be: 2^k with probability 2^−k, else 0."""
    rounds = dice.randint(1, 12)
    return 2.0**rounds if dice.random() < 2.0**-rounds else 0.0


def test_e_lond_keeps_false_discoveries_below_alpha_and_finds_what_is_there() -> None:
    """Nulls bet on a fair coin; every fifth test is real. Tolerance: mean false share ≤ .1 over 300 streams."""
    dice, false_shares, found = random.Random(11), [], 0
    for _ in range(300):
        real = [index % 5 == 0 for index in range(50)]
        e_values = [1e6 if truth else all_or_nothing(dice) for truth in real]
        discoveries = e_lond(e_values, 0.1)
        wrong = sum(said and not truth for said, truth in zip(discoveries, real, strict=True))
        found += sum(said and truth for said, truth in zip(discoveries, real, strict=True))
        false_shares.append(wrong / max(1, sum(discoveries)))
    assert sum(false_shares) / 300 <= 0.1
    assert found == 300 * 10
