"""Tango's interval agrees with a numerical maximum likelihood fit and holds its level."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from flyball.errors import InputError
from flyball.statistics.paired import (
    fewest_pairs,
    needed_pairs,
    score,
    tango_lower,
    worse_p_value,
)


def fitted_score(wins: int, losses: int, n: int, difference: float) -> float:
    """The same statistic with P(loss) found by maximising the trinomial likelihood numerically."""

    def minus_likelihood(lost: float) -> float:
        won = lost + difference
        return -(
            wins * math.log(max(won, 1e-300))
            + losses * math.log(max(lost, 1e-300))
            + (n - wins - losses) * math.log(max(1 - won - lost, 1e-300))
        )

    low, high = max(0.0, -difference), (1 - difference) / 2
    lost = optimize.minimize_scalar(minus_likelihood, bounds=(low, high), options={"xatol": 1e-12}).x
    return (wins - losses - n * difference) / math.sqrt(n * (2 * lost + difference * (1 - difference)))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.floats(-0.5, 0.5))
def test_the_statistic_equals_a_numerical_fit(wins: int, losses: int, ties: int, difference: float) -> None:
    n = wins + losses + ties
    assert score(wins, losses, n, difference) == pytest.approx(fitted_score(wins, losses, n, difference), abs=2e-4)


def test_the_interval_equals_published_numbers() -> None:
    """Fagerland, Lydersen and Laake 2014 (Stat. Med. 33:2850): Bentur's 1, 1, 7, 12; Tango's −.517 to −.026."""
    assert tango_lower(1, 7, 21, 0.025) == pytest.approx(-0.517, abs=5e-4)
    assert -tango_lower(7, 1, 21, 0.025) == pytest.approx(-0.026, abs=5e-4)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
def test_bounds_enclose_the_estimate_and_swap_with_the_sides(wins: int, losses: int, ties: int) -> None:
    n = wins + losses + ties
    low, high = tango_lower(wins, losses, n, 0.05), -tango_lower(losses, wins, n, 0.05)
    assert -1.0 <= low <= ((wins - losses) / n if n else 0.0) <= high <= 1.0


def test_nothing_is_proven_below_the_exact_number_of_pairs() -> None:
    assert fewest_pairs(0.02, 0.05) == 149
    assert fewest_pairs(0.05, 0.05) == 59
    assert needed_pairs(0.0, 0.0, -0.02, 0.05) == 149
    assert needed_pairs(0.02, 0.05, -0.02, 0.05) is None
    n = needed_pairs(0.05, 0.05, -0.03, 0.05)
    assert n is not None
    assert tango_lower(0.05 * n, 0.05 * n, n, 0.05) >= -0.03 > tango_lower(0.025 * n, 0.025 * n, n // 2, 0.05)


@pytest.mark.parametrize(("n", "disagree"), [(100, 0.12), (400, 0.2)])
def test_a_candidate_exactly_at_the_margin_passes_in_about_alpha_of_the_runs(n: int, disagree: float) -> None:
    """Tolerance: .05 + .015 over 4,000 runs (standard error .0035) at a margin of 5 points."""
    margin, dice, passed = 0.05, random.Random(7), 0
    lost = (disagree + margin) / 2
    z = stats.norm.ppf(0.95)
    for _ in range(4000):
        draws = dice.choices((1, -1, 0), weights=(lost - margin, lost, 1 - 2 * lost + margin), k=n)
        passed += score(draws.count(1), draws.count(-1), n, -margin) > z
    assert 0.025 <= passed / 4000 <= 0.065


def test_a_p_value_says_when_a_candidate_is_proven_worse() -> None:
    assert worse_p_value(2, 60, 200, -0.03) < 1e-6
    assert worse_p_value(10, 10, 200, -0.03) > 0.5
    assert worse_p_value(0, 0, 0, -0.03) == 1.0


def test_impossible_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="3 wins and 3 losses of 5 pairs"):
        tango_lower(3, 3, 5, 0.05)
