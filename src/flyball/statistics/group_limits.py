"""Limits of a gap between groups that hold with few cases, where a bootstrap of rates of 0 or 1 sees no doubt. Pure.

Each group's rate has its exact limits (Clopper–Pearson). Difference: Zou and Donner's MOVER (2008, Statistics in
Medicine 27:1693) of those limits. Ratio: the lowest rate's lower limit by the highest one's upper limit, each at half
the error. The upper limit of the largest difference is the largest of the pairs' (and the lower limit of the smallest
ratio the smallest): whichever pair is worst in truth, its own limit holds. The other ends share the error between
pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

from flyball.statistics.beta import beta_quantile
from flyball.statistics.intervals import Interval

Count = tuple[float, float]
"""(part, whole) of one group; of clustered cases, scaled to the effective number of them (clustered.py)."""


def difference_limits(counts: Sequence[Count], level: float) -> Interval:
    """Two-sided limits of the largest absolute difference between two groups' rates."""
    alpha = (1.0 - level) / 2.0
    groups = len(counts)
    wide, narrow = _rates(counts, alpha / (groups * (groups - 1))), _rates(counts, alpha)
    lower = max(a - b - math.hypot(a - low, high - b) for (low, a, _), (_, b, high) in permutations(wide, 2))
    upper = max(a - b + math.hypot(high - a, b - low) for (_, a, high), (low, b, _) in permutations(narrow, 2))
    return max(0.0, lower), min(1.0, upper)


def ratio_limits(counts: Sequence[Count], level: float) -> Interval:
    """Two-sided limits of the smallest rate by the largest."""
    alpha = (1.0 - level) / 4.0
    groups = len(counts)
    wide, narrow = _rates(counts, alpha / (groups * (groups - 1))), _rates(counts, alpha)
    lower = min(low / high for (low, _, _), (_, _, high) in permutations(narrow, 2))
    upper = min(high / max(low, 1e-300) for (_, _, high), (low, _, _) in permutations(wide, 2))
    return min(1.0, lower), min(1.0, upper)


def _rates(counts: Sequence[Count], alpha: float) -> list[tuple[float, float, float]]:
    """(lower limit, rate, upper limit) of each group."""
    return [
        (
            0.0 if part <= 0 else beta_quantile(alpha, part, n - part + 1.0),
            part / n,
            1.0 if part >= n else beta_quantile(1.0 - alpha, part + 1.0, n - part),
        )
        for part, n in counts
    ]
