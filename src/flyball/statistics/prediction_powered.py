"""A judge's mean, corrected by people's labels of a random part of the cases: prediction-powered inference, PPI++.

Angelopoulos, Duchi and Zrnic 2023 (arXiv 2311.01453), with the power-tuned λ of their section 6, cut to [0, 1]. With
ratings f and labels y the mean is λ·mean(f of the rest) + mean(y − λ·f of the labelled). It is right whatever the judge
does; a judge worth nothing gets λ = 0, and the labels alone remain. The labelled cases must be a random sample.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from flyball.errors import InputError
from flyball.statistics.clustered import FEWEST_CLUSTERS, student_quantile

FEWEST_LABELS: Final = 200
"""Below so many labels no correction is made: λ and the normal interval rest on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The corrected mean and its two-sided interval, and how far the judge was used (0: not at all, 1: fully)."""

    value: float
    lower: float
    upper: float
    power: float


def prediction_powered_mean(
    labels: Sequence[float],
    rated: Sequence[float],
    rest: Sequence[float],
    *,
    level: float = 0.95,
    power: float | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Corrected:
    """The mean of what people would say; `rated` are the judge's ratings of the labelled cases, `rest` of the others.

    `power`: λ, else the best one. `clusters`: one for each labelled case, then each other one; cases of one cluster may
    be alike. InputError for fewer than FEWEST_LABELS labels, or fewer than FEWEST_CLUSTERS clusters.
    """
    n, others = len(labels), len(rest)
    if n != len(rated):
        raise InputError(f"{n} labels and {len(rated)} ratings of the labelled cases", cure="give one of each a case")
    if n < FEWEST_LABELS:
        raise InputError(
            f"{n} labels are too few to correct a judge: {FEWEST_LABELS - n} are missing",
            cure=f"label at least {FEWEST_LABELS} cases, drawn at random from this suite",
        )
    if not all(map(math.isfinite, (*labels, *rated, *rest))):
        raise InputError("a label or a rating is not a finite number", cure="leave that case without a label")
    if clusters is not None and len(clusters) != n + others:
        raise InputError(f"{len(clusters)} clusters for {n + others} cases", cure="give one a case")
    if power is None:
        power = best_power(labels, rated, rest)
    errors = [y - power * f for y, f in zip(labels, rated, strict=True)]
    rectifier = math.fsum(errors) / n
    imputed = power * math.fsum(rest) / others if others else 0.0
    parts = [(error - rectifier) / n for error in errors] + [(power * f - imputed) / others for f in rest]
    if clusters is None:
        variance, quantile = math.fsum(part * part for part in parts), NormalDist().inv_cdf(0.5 + level / 2.0)
    else:
        sums: dict[Hashable, float] = {}
        for name, part in zip(clusters, parts, strict=True):
            sums[name] = sums.get(name, 0.0) + part
        if len(sums) < FEWEST_CLUSTERS:
            raise InputError(
                f"{len(sums)} clusters are too few for an interval",
                cure=f"measure cases of at least {FEWEST_CLUSTERS} clusters",
            )
        variance = math.fsum(part * part for part in sums.values()) * len(sums) / (len(sums) - 1)
        quantile = student_quantile(0.5 + level / 2.0, len(sums) - 1.0)
    half, value = quantile * math.sqrt(variance), imputed + rectifier
    return Corrected(value=value, lower=value - half, upper=value + half, power=power)


def best_power(labels: Sequence[float], rated: Sequence[float], rest: Sequence[float]) -> float:
    """The λ in [0, 1] of the least variance, cov(y, f) / ((1 + n/N)·var(f)); 0 where nothing is left to predict."""
    if not rest:
        return 0.0
    n, everything = len(labels), (*rated, *rest)
    label, rating, mean = (math.fsum(some) / len(some) for some in (labels, rated, everything))
    together = math.fsum((y - label) * (f - rating) for y, f in zip(labels, rated, strict=True)) / n
    spread = math.fsum((f - mean) ** 2 for f in everything) / (len(everything) - 1)
    return 0.0 if spread == 0.0 else min(1.0, max(0.0, together / ((1.0 + n / len(rest)) * spread)))
