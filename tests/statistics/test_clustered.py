"""Cluster-robust means: equal to the textbook's matrices, and covering where cases of one cluster are alike."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from flyball.errors import InputError
from flyball.statistics.clustered import clustered_mean, student_cdf


def by_matrices(values: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """CR2 and Satterthwaite's degrees of freedom as Pustejovsky and Tipton 2018 write them, for a weighted mean."""
    n, whole = len(values), weights.sum()
    hat = np.outer(np.ones(n), weights) / whole
    residuals = values - (weights * values).sum() / whole
    variance, rows = 0.0, []
    for name in np.unique(clusters):
        mine = clusters == name
        adjust = (1.0 - weights[mine].sum() / whole) ** -0.5
        rows.append(np.where(mine, weights, 0.0) @ (np.eye(n) - hat) * adjust / whole)
        variance += (adjust * (weights[mine] * residuals[mine]).sum() / whole) ** 2
    products = np.array(rows) @ np.array(rows).T
    return float((weights * values).sum() / whole), math.sqrt(variance), np.trace(products) ** 2 / (products**2).sum()


@pytest.mark.parametrize("seed", range(6))
def test_the_closed_form_equals_the_matrices(seed: int) -> None:
    dice = np.random.default_rng(seed)
    n = 80
    values, clusters, weights = dice.normal(size=n), dice.integers(0, 12, n), dice.uniform(0.5, 3.0, n)
    found = clustered_mean(list(values), list(clusters), list(weights))
    assert (found.value, found.error, found.freedom) == pytest.approx(by_matrices(values, clusters, weights), rel=1e-9)


def test_of_independent_cases_it_is_the_usual_error_of_a_mean() -> None:
    values = [random.Random(3).gauss(0, 1) for _ in range(50)]
    found = clustered_mean(values, range(50))
    mean = sum(values) / 50
    usual = math.sqrt(sum((x - mean) ** 2 for x in values) / 49 / 50)
    assert (found.value, found.error, found.freedom) == pytest.approx((mean, usual, 49.0))


def test_students_distribution_is_scipys() -> None:
    from scipy.stats import t

    for at, freedom in ((-3.1, 4.5), (0.0, 9.0), (1.7, 22.3)):
        assert student_cdf(at, freedom) == pytest.approx(t.cdf(at, freedom), abs=1e-12)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="no variance between them"):
        clustered_mean([1.0, 0.0], ["a", "a"])
    with pytest.raises(InputError, match="not a positive number"):
        clustered_mean([1.0, 0.0], ["a", "b"], [1.0, 0.0])
