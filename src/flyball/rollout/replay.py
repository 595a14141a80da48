"""Paired replay: a candidate and the live release answer the same recorded requests; is the candidate worse? Pure.

Requests of one conversation are not independent, conversations are: each gives one score a measure, the mean over its
pairs, in [0, 1] with one half for "no difference". Its mean is tested by betting (Waudby-Smith and Ramdas 2024, JRSS B
86:1, §5), which may be looked at after every conversation, so that a replay stops as soon as harm is proven. That
people go on differently after another answer cannot be seen here: a replay takes back, it never promotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from flyball.records import JSON
from flyball.statistics.sequences import MeanAbove, MeanBelow

SAME = 0.5
MEASURES = ("failures", "quality", "latency", "cost")
ACTED_ON = frozenset({"failures", "quality"})
"""Times and costs are shown: two engines that are loaded differently are no fair race."""
_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One release's answer to a recorded request: None where it failed; milliseconds, dollars, whether it was right.

    `right` is None where nobody said what the right answer is.
    """

    text: str | None
    total_ms: float
    usd: float
    right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both answers to one request of one cluster (its conversation, else its unit)."""

    request: str
    cluster: str
    candidate: Answered
    live: Answered

    @property
    def agree(self) -> bool:
        """Whether both answered the same, white space aside."""
        one, other = self.candidate.text, self.live.text
        return one is not None and other is not None and one.split() == other.split()

    @property
    def lost(self) -> bool:
        """Whether the candidate failed or was wrong where live was not."""
        failed = self.candidate.text is None and self.live.text is not None
        return failed or (self.candidate.right is False and self.live.right is True)


def scores_of(pairs: Sequence[Pair]) -> dict[str, float]:
    """One cluster's scores: above one half, the candidate is worse; measures of which it has no pair are left out."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for pair in pairs:
        one, other = pair.candidate, pair.live
        found["failures"].append((1 + (one.text is None) - (other.text is None)) / 2)
        if one.right is not None and other.right is not None:
            found["quality"].append((1 - one.right + other.right) / 2)
        if one.text is not None and other.text is not None:
            found["latency"].append(_share(one.total_ms, other.total_ms))
            found["cost"].append(_share(one.usd, other.usd))
    return {name: fmean(scores) for name, scores in found.items() if scores}


def _share(one: float, other: float) -> float:
    return one / (one + other) if one + other > 0 else SAME


class Comparison:
    """What the pairs prove, cluster by cluster, in an order that has nothing to do with the answers."""

    def __init__(self, *, margin: float, alpha: float) -> None:
        self.margin, self.alpha = margin, alpha
        allowed = SAME + margin / 2
        nulls = {"failures": SAME, "quality": SAME, "latency": allowed, "cost": allowed}
        self.harm = {name: MeanAbove(null) for name, null in nulls.items()}
        self.not_worse = {name: MeanBelow(allowed) for name in nulls}
        self.scores: dict[str, list[float]] = {name: [] for name in nulls}
        self.pairs: list[Pair] = []
        self.clusters = 0

    def take(self, pairs: Sequence[Pair]) -> None:
        """Add one cluster."""
        if not pairs:
            return
        self.clusters += 1
        self.pairs += pairs
        for name, score in scores_of(pairs).items():
            self.scores[name].append(score)
            self.harm[name].update(score)
            self.not_worse[name].update(score)

    @property
    def measured(self) -> list[str]:
        """Measures with at least one score."""
        return [name for name, scores in self.scores.items() if scores]

    @property
    def worse_in(self) -> list[str]:
        """Measures that are proven worse, at α/m each over the m measured ones."""
        measured = self.measured
        return [name for name in measured if self.harm[name].p_value <= self.alpha / len(measured)]

    @property
    def proven_worse(self) -> list[str]:
        """Those of them that are acted on."""
        return [name for name in self.worse_in if name in ACTED_ON]

    @property
    def verdict(self) -> str:
        """worse; not_worse: within the margin on all that is measured, quality among it; else inconclusive."""
        if self.proven_worse:
            return "worse"
        measured = self.measured
        if "quality" in measured and all(self.not_worse[name].p_value <= self.alpha for name in measured):
            return "not_worse"
        return "inconclusive"

    def figures(self) -> dict[str, JSON]:
        """Counts, differences with their bounds, and p-values, as JSON types."""
        pairs = self.pairs
        agreed = sum(pair.agree for pair in pairs)
        return {
            "pairs": len(pairs),
            "clusters": self.clusters,
            "agreement": round(agreed / len(pairs), 4) if pairs else None,
            "alpha": self.alpha,
            "margin": self.margin,
            "measures": {name: self._figures(name) for name in self.measured},
        }

    def _figures(self, name: str) -> dict[str, JSON]:
        scores = self.scores[name]
        low, high = bounds(scores, self.alpha)
        found: dict[str, JSON] = {
            "clusters": len(scores),
            "p_harm": _short(self.harm[name].p_value),
            "p_worse_by_margin": _short(self.not_worse[name].p_value),
        }
        if name in ACTED_ON:  # candidate − live, in share of the answers
            worse = {"difference": 2 * fmean(scores) - 1, "lower": 2 * low - 1, "upper": 2 * high - 1}
            sign = -1.0 if name == "quality" else 1.0
            values = sorted((sign * worse["lower"], sign * worse["upper"]))
            return {**found, "difference": _short(sign * worse["difference"]), "bounds": [_short(v) for v in values]}
        return {**found, "ratio": _short(_ratio(fmean(scores))), "bounds": [_short(_ratio(low)), _short(_ratio(high))]}


def bounds(scores: Sequence[float], alpha: float) -> tuple[float, float]:
    """The two-sided 1 − alpha confidence sequence of a mean of scores in [0, 1], where it stands now, by betting."""
    return (
        _edge(lambda null: _p(MeanAbove(null), scores) > alpha / 2, 0.0, 1.0),
        _edge(lambda null: _p(MeanBelow(null), scores) > alpha / 2, 1.0, 0.0),
    )


def _edge(plausible: Callable[[float], bool], outer: float, inner: float) -> float:
    """Where nulls begin to be plausible on the way from `outer` to `inner`."""
    for _ in range(_STEPS):
        middle = (outer + inner) / 2
        if plausible(middle):
            inner = middle
        else:
            outer = middle
    return outer


def _p(test: MeanAbove | MeanBelow, scores: Sequence[float]) -> float:
    for score in scores:
        test.update(score)
    return test.p_value


def clustered(pairs: Iterable[tuple[str, str]], order: Callable[[str], float], most: int) -> Mapping[str, list[str]]:
    """Requests by cluster, from (cluster, request), at most `most` of each, clusters in the given order."""
    found: dict[str, list[str]] = {}
    for cluster, request in pairs:
        requests = found.setdefault(cluster, [])
        if len(requests) < most:
            requests.append(request)
    return {cluster: found[cluster] for cluster in sorted(found, key=order)}


def _ratio(share: float) -> float:
    return share / (1.0 - share) if share < 1.0 else float("inf")


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if abs(value) != float("inf") else None
