"""Cases that are not independent, or that stand for several: a bound on their mean that holds all the same.

Where cases share clusters (a template, a conversation, a customer) or carry weights, a rule passes only if both its
own bound and the cluster-robust one say so. Without enough clusters nothing is proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flyball.rollout.gate_judged import Judged, scaled_n
from flyball.statistics.clustered import FEWEST_CLUSTERS, FEWEST_FAILING, ClusteredMean, clustered_mean
from flyball.statistics.paired import tango_lower


@dataclass(frozen=True, slots=True)
class Case:
    """The value of one case, the cluster that it is in, and its weight."""

    value: float
    cluster: str
    weight: float = 1.0


def independent(cases: Sequence[Case]) -> bool:
    """Whether every case is a cluster of its own, and all weigh the same."""
    return len({case.cluster for case in cases}) == len(cases) and len({case.weight for case in cases}) <= 1


def stricter(
    judged: Judged, cases: Sequence[Case], *, lower: bool, threshold: float, alpha: float, good: float
) -> Judged:
    """`judged` as it is where cases are independent, else together with the cluster-robust bound.

    `lower`: the bound is a lower one that must reach `threshold`, else an upper one that must stay under it. A case
    whose value is not `good` is one that failed.
    """
    if independent(cases):
        return judged
    clusters = {case.cluster for case in cases}
    failing = {case.cluster for case in cases if case.value != good}
    for count, fewest, what in (
        (len(clusters), FEWEST_CLUSTERS, "clusters"),
        (len(failing), FEWEST_FAILING, "clusters with a failure"),
    ):
        if count < fewest:
            reason = f"{count} {what}, and {fewest} are needed to know how alike the cases of one are"
            return replace(judged, passed=False, p_value=1.0, needed_n=None, reason=f"{judged.reason}; {reason}")
    mean = clustered_mean(
        [case.value for case in cases], [case.cluster for case in cases], [case.weight for case in cases]
    )
    bound = _bound(mean, cases, lower=lower, alpha=alpha)
    holds = bound >= threshold if lower else bound <= threshold
    below = mean.below_p_value(threshold)
    words = f"{mean.clusters} clusters, {mean.freedom:.0f} degrees of freedom (CR2): {bound:+.4f}"
    decisive = bound if judged.bound is None else min(bound, judged.bound) if lower else max(bound, judged.bound)
    return replace(
        judged,
        passed=judged.passed and holds,
        reason=f"{judged.reason}; by {words}",
        value=mean.value,
        bound=decisive,
        p_value=max(judged.p_value, below if lower else 1.0 - below),
        needed_n=judged.needed_n if judged.passed and holds else scaled_n(len(cases), mean.value, decisive, threshold),
    )


def _bound(mean: ClusteredMean, cases: Sequence[Case], *, lower: bool, alpha: float) -> float:
    """Of shares and of pairs that are right or wrong: the bound at the effective number of cases; else Student's."""
    values = {case.value for case in cases}
    if values <= {0.0, 1.0}:
        return mean.share_lower(alpha) if lower else mean.share_upper(alpha)
    if lower and values <= {-1.0, 0.0, 1.0}:
        weight = sum(case.weight for case in cases)
        won = sum(case.weight for case in cases if case.value > 0.0) / weight
        lost = sum(case.weight for case in cases if case.value < 0.0) / weight
        n = mean.effective_n(won + lost - mean.value**2, alpha)
        return min(tango_lower(won * n, lost * n, n, alpha), mean.lower(alpha))
    return mean.lower(alpha) if lower else mean.upper(alpha)
