"""Confidence intervals for a proportion, a mean and a quantile.

Decisions use Clopper–Pearson, whose coverage never falls below its level; Wilson is for display only (its worst
coverage at n = 20 is .894 where .95 is meant).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from flyball.errors import InputError
from flyball.statistics.beta import beta_quantile, binomial_cdf, binomial_sf

Interval = tuple[float, float]
LARGEST_N = 100_000_000


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact two-sided interval of a proportion (Clopper and Pearson 1934, Biometrika 26:404)."""
    tail = (1.0 - level) / 2.0
    return clopper_pearson_lower(successes, n, tail), clopper_pearson_upper(successes, n, tail)


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """Exact one-sided lower bound: the p with P(X ≥ successes) = alpha; 0 when nothing was measured."""
    _check_counts(successes, n)
    return 0.0 if successes == 0 else beta_quantile(alpha, float(successes), n - successes + 1.0)


def clopper_pearson_upper(successes: int, n: int, alpha: float) -> float:
    """Exact one-sided upper bound: the p with P(X ≤ successes) = alpha; 1 when nothing was measured."""
    _check_counts(successes, n)
    return 1.0 if successes == n else beta_quantile(1.0 - alpha, successes + 1.0, float(n - successes))


def at_least_p_value(successes: int, n: int, threshold: float) -> float:
    """Exact p-value against "the proportion is at least `threshold`": small when it is proven to be lower."""
    return binomial_cdf(successes, n, threshold) if n else 1.0


def at_most_p_value(successes: int, n: int, threshold: float) -> float:
    """Exact p-value against "the proportion is at most `threshold`": small when it is proven to be higher."""
    return binomial_sf(successes, n, threshold) if n else 1.0


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927, JASA 22:209); for display, not for decisions."""
    _check_counts(successes, n)
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def quantile_interval(ordered: Sequence[float], q: float, level: float = 0.95) -> Interval:
    """Order statistics around the q-quantile of sorted values (David and Nagaraja 2003, §7.1: for any distribution).

    Where too few values were measured to bound a side, that side is the smallest or largest value.
    """
    if not ordered:
        raise InputError("a quantile of no values", cure="measure at least one item")
    n, tail = len(ordered), (1.0 - level) / 2.0
    low = _first_rank(n, lambda rank: binomial_cdf(rank - 1, n, q) > tail)
    high = _first_rank(n, lambda rank: binomial_cdf(rank - 1, n, q) >= 1.0 - tail)
    return ordered[max(low - 2, 0)], ordered[min(high, n) - 1]


def _first_rank(n: int, holds: Callable[[int], bool]) -> int:
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def quantile(ordered: Sequence[float], q: float) -> float:
    """The smallest of the sorted values with at least a share q at or below it."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def needed_for_lower(rate: float, threshold: float, alpha: float) -> int | None:
    """Smallest n whose Clopper–Pearson lower bound reaches `threshold` if the observed `rate` holds; None: never."""
    if rate <= threshold:
        return None

    def enough(n: int) -> bool:
        return binomial_sf(math.floor(rate * n + 1e-9), n, threshold) <= alpha

    return smallest(enough)


def needed_for_upper(rate: float, threshold: float, alpha: float) -> int | None:
    """Smallest n whose Clopper–Pearson upper bound stays at `threshold` if the observed `rate` holds; None: never."""
    return needed_for_lower(1.0 - rate, 1.0 - threshold, alpha)


def smallest(enough: Callable[[int], bool]) -> int | None:
    """About the smallest n that is enough: doubling, then bisection (counts are whole, so it may be off by a few)."""
    high = 1
    while not enough(high):
        high *= 2
        if high > LARGEST_N:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise InputError(f"{successes} successes of {n}", cure="successes must lie between 0 and n")
