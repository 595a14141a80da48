"""Intervals for measurements in time, where neighbours are alike: queues make slow answers come in clusters.

The run is cut into blocks of time that are taken for independent; whatever varies between them widens the interval.
Quantiles: the interval of the share at or below the estimate, turned back through the order statistics (Woodruff 1952,
JASA 47:635). No interval is narrower than the one for independent values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flyball.statistics.beta import binomial_cdf
from flyball.statistics.clustered import student_quantile
from flyball.statistics.intervals import clopper_pearson, quantile, quantile_interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its two-sided interval."""

    value: float
    lower: float
    upper: float


def quantile_in_blocks(values: Sequence[float], blocks: Sequence[int], q: float, level: float) -> Estimate:
    """The q-quantile; infinite values are those that never came, and the upper end is infinite where n is too small."""
    ordered = sorted(values)
    n, value = len(ordered), quantile(ordered, q)
    lower, upper = quantile_interval(ordered, q, level)
    if binomial_cdf(n - 1, n, q) < (1.0 + level) / 2.0:
        upper = math.inf  # even the largest of so few values bounds nothing
    half = _half_width([float(x <= value) for x in values], blocks, level)
    low, high = math.floor((q - half) * n) - 1, math.ceil((q + half) * n)
    return Estimate(value, min(lower, ordered[max(low, 0)]), max(upper, ordered[high - 1] if high <= n else upper))


def share_in_blocks(hits: Sequence[float], blocks: Sequence[int], level: float) -> Estimate:
    """The share of ones among zeros and ones."""
    n, successes = len(hits), round(sum(hits))
    lower, upper = clopper_pearson(successes, n, level)
    share, half = successes / n, _half_width(hits, blocks, level)
    return Estimate(share, max(min(lower, share - half), 0.0), min(max(upper, share + half), 1.0))


def rate_in_blocks(sums: Sequence[float], seconds: float, level: float) -> Estimate:
    """A rate per second from the sums of blocks of equal length that last `seconds` in all."""
    rates = [one * len(sums) / seconds for one in sums]
    mean = math.fsum(rates) / len(rates)
    if len(rates) < 2:
        return Estimate(mean, 0.0, math.inf)
    variance = math.fsum((rate - mean) ** 2 for rate in rates) / (len(rates) - 1)
    half = student_quantile((1.0 + level) / 2.0, len(rates) - 1.0) * math.sqrt(variance / len(rates))
    return Estimate(mean, max(mean - half, 0.0), mean + half)


def _half_width(hits: Sequence[float], blocks: Sequence[int], level: float) -> float:
    """Half the interval of a mean, from the variance between blocks."""
    n, mean = len(hits), math.fsum(hits) / len(hits)
    residuals: dict[int, float] = {}
    for hit, block in zip(hits, blocks, strict=True):
        residuals[block] = residuals.get(block, 0.0) + hit - mean
    count = len(residuals)
    if count < 2:
        return 0.0
    variance = count / (count - 1) * math.fsum(one * one for one in residuals.values()) / n**2
    return student_quantile((1.0 + level) / 2.0, count - 1.0) * math.sqrt(variance)
