"""The mean of cases that are not independent: cluster-robust (CR2) with Satterthwaite's degrees of freedom.

Bell and McCaffrey 2002 (Survey Methodology 28:169); Pustejovsky and Tipton 2018 (JBES 36:672). The model is a weighted
mean; its working model has independent cases of one variance. Everything is in closed form, so it costs O(cases).
Shares use the exact bound at the effective number of cases instead of Student's t, which is too kind to skewed ones: of
20 clusters of 20 with an intraclass correlation of .2 at a share of .8 it errs in 8 % where 5 % is meant.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from flyball.errors import InputError
from flyball.statistics.beta import beta_cdf, beta_quantile

FEWEST_CLUSTERS = 20
"""Below so many clusters no bound is given."""
FEWEST_FAILING = 10
"""Below so many clusters with a failure the variance is not known well enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredMean:
    """A mean with its standard error, degrees of freedom, and the number of clusters."""

    value: float
    error: float
    freedom: float
    clusters: int
    cases: int

    def effective_n(self, independent_variance: float, alpha: float) -> float:
        """How many independent cases say as much, at error `alpha` (Korn and Graubard 1998, Survey Methodology 24:193).

        `independent_variance`: of one case. Never more than there are cases; the t quantiles pay for few clusters.
        """
        as_good_as = independent_variance / self.error**2 if self.error > 0.0 else math.inf
        if independent_variance == 0.0 or math.isinf(as_good_as):
            as_good_as = float(self.clusters)
        quantiles = student_quantile(1.0 - alpha, self.cases - 1.0) / student_quantile(1.0 - alpha, self.freedom)
        return min(float(self.cases), as_good_as) * quantiles**2

    def share_lower(self, alpha: float) -> float:
        """Lower bound where the cases are 0 or 1: Clopper and Pearson's at the effective number of cases."""
        n = self.effective_n(self.value * (1.0 - self.value), alpha)
        return 0.0 if self.value <= 0.0 else beta_quantile(alpha, self.value * n, (1.0 - self.value) * n + 1.0)

    def share_upper(self, alpha: float) -> float:
        """Upper bound where the cases are 0 or 1."""
        n = self.effective_n(self.value * (1.0 - self.value), alpha)
        return 1.0 if self.value >= 1.0 else beta_quantile(1.0 - alpha, self.value * n + 1.0, (1.0 - self.value) * n)

    def lower(self, alpha: float) -> float:
        """One-sided lower bound at error `alpha`."""
        return self.value - student_quantile(1.0 - alpha, self.freedom) * self.error

    def upper(self, alpha: float) -> float:
        """One-sided upper bound at error `alpha`."""
        return self.value + student_quantile(1.0 - alpha, self.freedom) * self.error

    def below_p_value(self, threshold: float) -> float:
        """p-value against "the mean is at least `threshold`": small when it is proven to be lower."""
        if self.error == 0.0:
            return 1.0 if self.value >= threshold else 0.0
        return student_cdf((self.value - threshold) / self.error, self.freedom)


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], weights: Sequence[float] | None = None
) -> ClusteredMean:
    """The weighted mean of `values`, whose cases in one cluster may be alike; needs two clusters."""
    weighed = list(weights) if weights is not None else [1.0] * len(values)
    if not len(values) == len(clusters) == len(weighed):
        raise InputError(f"{len(values)} values, {len(clusters)} clusters, {len(weighed)} weights", cure="one of each")
    if any(not weight > 0.0 or math.isinf(weight) for weight in weighed):
        raise InputError("a weight is not a positive number", cure="leave cases of no weight out")
    whole = math.fsum(weighed)
    value = math.fsum(w * x for w, x in zip(weighed, values, strict=True)) / whole if values else 0.0
    sums: dict[Hashable, list[float]] = {}
    for x, g, w in zip(values, clusters, weighed, strict=True):
        one = sums.setdefault(g, [0.0, 0.0, 0.0])
        one[0] += w
        one[1] += w * w
        one[2] += w * (x - value)
    if len(sums) < 2:
        raise InputError(f"{len(sums)} clusters have no variance between them", cure="measure more clusters")
    squares = math.fsum(q for _, q, _ in sums.values())
    variance = trace = aa = bb = ab = dd = cross = 0.0
    for weight, square, residual in sums.values():
        factor = 1.0 / (1.0 - weight / whole)  # CR2's adjustment, squared
        root = math.sqrt(factor)
        variance += factor * residual * residual
        diagonal, own, part = factor * square, root * square, root * weight
        rest = -2.0 * own * part / whole + part * part * squares / whole**2
        trace += diagonal + rest
        dd += diagonal * diagonal
        cross += diagonal * rest
        aa, bb, ab = aa + own * own, bb + part * part, ab + own * part
    others = 2.0 * (aa * bb + ab * ab) / whole**2 + (squares * bb / whole**2) ** 2
    others -= 4.0 * squares * ab * bb / whole**3
    freedom = trace * trace / (dd + 2.0 * cross + others)
    return ClusteredMean(
        value=value, error=math.sqrt(variance) / whole, freedom=freedom, clusters=len(sums), cases=len(values)
    )


def student_cdf(t: float, freedom: float) -> float:
    """Distribution function of Student's t."""
    tail = 0.5 * beta_cdf(freedom / (freedom + t * t), freedom / 2.0, 0.5)
    return 1.0 - tail if t > 0.0 else tail


def student_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t with `freedom` degrees of freedom (through the beta distribution)."""
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -student_quantile(1.0 - probability, freedom)
    x = beta_quantile(2.0 * (1.0 - probability), freedom / 2.0, 0.5)
    return math.sqrt(freedom * (1.0 - x) / x)
