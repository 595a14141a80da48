"""Intervals hold their level, by enumeration, and agree with SciPy."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flyball.errors import InputError
from flyball.statistics.beta import beta_cdf, beta_quantile, binomial_cdf, binomial_sf
from flyball.statistics.intervals import (
    at_least_p_value,
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    needed_for_lower,
    needed_for_upper,
    quantile,
    quantile_interval,
    wilson,
)


@given(st.floats(0.0, 1.0), st.floats(0.3, 5000.0), st.floats(0.3, 5000.0))
def test_the_incomplete_beta_function_equals_scipys(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.5, 0.975])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1.0, 20.0), (400.0, 3.0), (20_000.0, 19_000.0)])
def test_beta_quantiles_equal_scipys(probability: float, a: float, b: float) -> None:
    assert beta_quantile(probability, a, b) == pytest.approx(stats.beta.ppf(probability, a, b), rel=1e-8)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.001, 0.999))
def test_binomial_tails_equal_scipys(successes: int, more: int, p: float) -> None:
    n = successes + more
    assert binomial_cdf(successes, n, p) == pytest.approx(stats.binom.cdf(successes, n, p), abs=1e-10)
    assert binomial_sf(successes, n, p) == pytest.approx(stats.binom.sf(successes - 1, n, p), abs=1e-10)


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_and_wilson_equal_scipys(successes: int, more: int, level: float) -> None:
    n = successes + more
    if n == 0:
        assert clopper_pearson(0, 0, level) == (0.0, 1.0)
        return
    test = stats.binomtest(successes, n)
    exact, score = test.proportion_ci(level, method="exact"), test.proportion_ci(level, method="wilson")
    assert clopper_pearson(successes, n, level) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert wilson(successes, n, level) == pytest.approx((score.low, score.high), abs=1e-9)


def covered(bounds: list[tuple[float, float]], p: float) -> float:
    """Probability that the interval contains p: its counts are neighbours, so two tails suffice."""
    counts = [k for k, (low, high) in enumerate(bounds) if low <= p <= high]
    n = len(bounds) - 1
    return binomial_cdf(counts[-1], n, p) - binomial_cdf(counts[0] - 1, n, p)


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_clopper_pearson_covers_at_least_its_level_for_every_rate_by_enumeration(n: int) -> None:
    """Worst coverage over p in .0100, .0105, …, .9900: published .958/.950/.950 at n = 20/100/1,000."""
    bounds = [clopper_pearson(successes, n, 0.95) for successes in range(n + 1)]
    worst = min(covered(bounds, p) for p in (step / 2000 for step in range(20, 1981)))
    assert worst >= 0.95 - 1e-9
    assert worst == pytest.approx({20: 0.958, 100: 0.950, 1000: 0.950}[n], abs=0.0015)


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.01, 0.99))
def test_a_bound_and_its_p_value_never_contradict_each_other(successes: int, more: int, threshold: float) -> None:
    n = successes + more
    proven_lower = at_least_p_value(successes, n, threshold) < 0.05
    assert proven_lower == (clopper_pearson_upper(successes, n, 0.05) < threshold)


def test_the_needed_sample_is_enough_and_half_of_it_is_not() -> None:
    n = needed_for_lower(0.9, 0.85, 0.05)
    assert n is not None
    assert clopper_pearson_lower(int(0.9 * n), n, 0.05) >= 0.85
    assert clopper_pearson_lower(int(0.9 * (n // 2)), n // 2, 0.05) < 0.85
    assert needed_for_lower(0.8, 0.85, 0.05) is None
    assert needed_for_lower(1.0, 0.95, 0.05) == 59
    assert needed_for_upper(0.0, 0.05, 0.05) == 59


def test_the_interval_of_a_quantile_covers_at_least_its_level() -> None:
    dice = random.Random(5)
    covered = 0
    for _ in range(2000):
        values = sorted(dice.random() for _ in range(60))
        low, high = quantile_interval(values, 0.5, 0.9)
        covered += low <= 0.5 <= high
    assert covered / 2000 >= 0.9 - 0.02
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile_interval([1.0], 0.99) == (1.0, 1.0)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="5 successes of 4"):
        clopper_pearson(5, 4)
