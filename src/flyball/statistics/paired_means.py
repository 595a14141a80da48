"""The difference of two measurements of the same cases, with a two-sided interval that fits what was measured. Pure.

Right or wrong: Tango's score interval, and Clopper–Pearson's where one side never won. Scores from 0 to 1: betting
bounds on the mean of the differences. Anything else (milliseconds): Student's t. Cases that share clusters or carry
weights: the cluster-robust interval (CR2), and none where clusters are too few to know how alike their cases are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flyball.statistics.clustered import FEWEST_CLUSTERS, FEWEST_FAILING, clustered_mean, student_quantile
from flyball.statistics.intervals import clopper_pearson_upper
from flyball.statistics.means import mean_lower, mean_upper
from flyball.statistics.paired import tango_lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One case: what both scored, the cluster that it is in (None: its own), its weight."""

    first: float
    second: float
    cluster: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Second − first with its interval; no bounds where `method` says why there are none."""

    value: float
    lower: float | None
    upper: float | None
    method: str


def paired_difference(pairs: Sequence[Pair], *, level: float) -> PairedDifference:
    """The mean of second − first over pairs (at least one)."""
    alpha = (1.0 - level) / 2.0
    changes = [pair.second - pair.first for pair in pairs]
    if any(pair.cluster is not None for pair in pairs) or len({pair.weight for pair in pairs}) > 1:
        return _clustered(pairs, changes, alpha)
    scores = [score for pair in pairs for score in (pair.first, pair.second)]
    value = math.fsum(changes) / len(changes)
    if set(scores) <= {0.0, 1.0}:
        lower, upper = right_or_wrong(sum(c > 0 for c in changes), sum(c < 0 for c in changes), len(changes), alpha)
        return PairedDifference(value=value, lower=lower, upper=upper, method="Tango")
    if all(0.0 <= score <= 1.0 for score in scores):
        halves = [(1.0 + change) / 2.0 for change in changes]
        lower, upper = 2.0 * mean_lower(halves, alpha) - 1.0, 2.0 * mean_upper(halves, alpha) - 1.0
        return PairedDifference(value=value, lower=lower, upper=upper, method="betting")
    if len(changes) < 2:
        return PairedDifference(value=value, lower=None, upper=None, method="one case has no variance")
    variance = math.fsum((change - value) ** 2 for change in changes) / (len(changes) - 1)
    half = student_quantile(1.0 - alpha, len(changes) - 1.0) * math.sqrt(variance / len(changes))
    return PairedDifference(value=value, lower=value - half, upper=value + half, method="Student's t")


def right_or_wrong(wins: int, losses: int, n: int, alpha: float) -> tuple[float, float]:
    """Tango's bounds of (wins − losses) / n, each at error `alpha`; no narrower than exact where none won."""
    lower, upper = tango_lower(wins, losses, n, alpha), -tango_lower(losses, wins, n, alpha)
    if wins == 0:
        lower = min(lower, -clopper_pearson_upper(losses, n, alpha))
    if losses == 0:
        upper = max(upper, clopper_pearson_upper(wins, n, alpha))
    return lower, upper


def _clustered(pairs: Sequence[Pair], changes: Sequence[float], alpha: float) -> PairedDifference:
    names = [f"case {k}" if pair.cluster is None else f"cluster {pair.cluster}" for k, pair in enumerate(pairs)]
    weights = [pair.weight for pair in pairs]
    value = math.fsum(w * change for w, change in zip(weights, changes, strict=True)) / math.fsum(weights)
    changed = len({name for name, change in zip(names, changes, strict=True) if change})
    for count, fewest, what in (
        (len(set(names)), FEWEST_CLUSTERS, "clusters"),
        (changed, FEWEST_FAILING, "clusters with a change"),
    ):
        if count < fewest:
            return PairedDifference(value=value, lower=None, upper=None, method=f"{count} {what}, {fewest} needed")
    mean = clustered_mean(changes, names, weights)
    method = f"CR2, {mean.clusters} clusters"
    return PairedDifference(value=value, lower=mean.lower(alpha), upper=mean.upper(alpha), method=method)
