"""Cases that are not independent, or that stand for several: a bound on their mean that holds all the same.

Where cases share clusters (a template, a conversation, a customer) or carry weights, a rule passes only if both its
own bound and the cluster-robust one say so. Without enough clusters nothing is proven; where too few of them have a
failure, the cases of each count as all alike, which is the worst that can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flyball.rollout.gate_judged import Judged, scaled_n
from flyball.statistics.beta import beta_quantile
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
    values = {case.value for case in cases}
    counted = values <= {0.0, 1.0} or (lower and values <= {-1.0, 0.0, 1.0})
    if len(clusters) < FEWEST_CLUSTERS:
        reason = f"{len(clusters)} clusters, and {FEWEST_CLUSTERS} are needed to know how alike the cases of one are"
        return replace(judged, passed=False, p_value=1.0, needed_n=None, reason=f"{judged.reason}; {reason}")
    if len(failing) < FEWEST_FAILING and not counted:
        reason = f"{len(failing)} clusters with a failure, and {FEWEST_FAILING} are needed to know how alike they are"
        return replace(judged, passed=False, p_value=1.0, needed_n=None, reason=f"{judged.reason}; {reason}")
    mean = clustered_mean(
        [case.value for case in cases], [case.cluster for case in cases], [case.weight for case in cases]
    )
    if len(failing) < FEWEST_FAILING:  # how alike the cases of a cluster are cannot be seen: as alike as can be
        bound = _count_bound(cases, mean.value, independent_clusters(cases), lower=lower, alpha=alpha)
    else:
        bound = _bound(mean, cases, lower=lower, alpha=alpha)
    holds = bound >= threshold if lower else bound <= threshold
    below = mean.below_p_value(threshold)
    method = (
        f"{mean.freedom:.0f} degrees of freedom (CR2)"
        if len(failing) >= FEWEST_FAILING
        else f"as if all cases of one were alike ({len(failing)} have a failure)"
    )
    words = f"{mean.clusters} clusters, {method}: {bound:+.4f}"
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


def independent_clusters(cases: Sequence[Case]) -> float:
    """How many clusters of equal weight say as much as these do (Kish 1965), if the cases of each were all alike."""
    weights: dict[str, float] = {}
    for case in cases:
        weights[case.cluster] = weights.get(case.cluster, 0.0) + case.weight
    return sum(weights.values()) ** 2 / sum(weight * weight for weight in weights.values())


def _bound(mean: ClusteredMean, cases: Sequence[Case], *, lower: bool, alpha: float) -> float:
    """Of shares and of pairs that are right or wrong: the bound at the effective number of cases; else Student's."""
    values = {case.value for case in cases}
    if values <= {0.0, 1.0}:
        return mean.share_lower(alpha) if lower else mean.share_upper(alpha)
    if lower and values <= {-1.0, 0.0, 1.0}:
        won, lost = _shares(cases)
        n = mean.effective_n(won + lost - mean.value**2, alpha)
        return min(_count_bound(cases, mean.value, n, lower=True, alpha=alpha), mean.lower(alpha))
    return mean.lower(alpha) if lower else mean.upper(alpha)


def _count_bound(cases: Sequence[Case], value: float, n: float, *, lower: bool, alpha: float) -> float:
    """The exact bound of a share, or Tango's of a difference of pairs, at `n` independent cases."""
    if all(case.value in (0.0, 1.0) for case in cases):
        right, wrong = value * n, (1.0 - value) * n
        if lower:
            return 0.0 if right <= 0.0 else beta_quantile(alpha, right, wrong + 1.0)
        return 1.0 if wrong <= 0.0 else beta_quantile(1.0 - alpha, right + 1.0, wrong)
    won, lost = _shares(cases)
    bound = tango_lower(won * n, lost * n, n, alpha)
    return bound if won else min(bound, -beta_quantile(1.0 - alpha, lost * n + 1.0, (1.0 - lost) * n))


def _shares(cases: Sequence[Case]) -> tuple[float, float]:
    """Shares of the weight that is won and lost."""
    weight = sum(case.weight for case in cases)
    won = sum(case.weight for case in cases if case.value > 0.0) / weight
    return won, sum(case.weight for case in cases if case.value < 0.0) / weight
