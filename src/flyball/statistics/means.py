"""Finite-sample bounds for the mean of scores in [0, 1], whatever their distribution.

Betting (Waudby-Smith and Ramdas 2024, JRSS B 86:1, §4.1 and appendix B): for each candidate mean m the wealth
∏(1 + λ(x − m)) may exceed 1/α with probability at most α only; the bound is the largest m that is rejected. λ is the
predictable plug-in √(2 ln(1/α) / (n σ̂²)), capped at half of 1/m. Items must be independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flyball.statistics.beta import solve_rising

CAP = 0.5


def mean_lower(values: Sequence[float], alpha: float) -> float:
    """One-sided lower bound of the mean; 0 when nothing was measured."""
    if not values:
        return 0.0
    bets = _bets(values, alpha)
    mean = sum(values) / len(values)
    limit = -math.log(alpha)
    return solve_rising(lambda m: limit - _most_wealth(values, bets, m), 0.0, mean)


def mean_upper(values: Sequence[float], alpha: float) -> float:
    """One-sided upper bound of the mean; 1 when nothing was measured."""
    return 1.0 - mean_lower([1.0 - value for value in values], alpha)


def mean_at_most_p_value(values: Sequence[float], threshold: float, alpha: float) -> float:
    """p-value against "the mean is at most `threshold`", with bets made for error `alpha`."""
    if not values or threshold >= 1.0:
        return 1.0
    return math.exp(-_most_wealth(values, _bets(values, alpha), threshold))


def mean_at_least_p_value(values: Sequence[float], threshold: float, alpha: float) -> float:
    """p-value against "the mean is at least `threshold`", with bets made for error `alpha`."""
    return mean_at_most_p_value([1.0 - value for value in values], 1.0 - threshold, alpha)


def _bets(values: Sequence[float], alpha: float) -> list[float]:
    """λ for each value, from the values before it only."""
    total, squares, bets = 0.5, 0.25, []
    for index, value in enumerate(values, 1):
        bets.append(math.sqrt(2.0 * math.log(1.0 / alpha) * index / (len(values) * squares)))
        total += value
        squares += (value - total / (index + 1)) ** 2
    return bets


def _most_wealth(values: Sequence[float], bets: Sequence[float], mean: float) -> float:
    """Largest logarithm of the wealth against "the mean is at most `mean`", at least 0 (Ville 1939)."""
    cap = CAP / max(mean, 1e-12)
    wealth = most = 0.0
    for value, bet in zip(values, bets, strict=True):
        wealth += math.log1p(min(bet, cap) * (value - mean))
        most = max(most, wealth)
    return most
