"""Comparisons between the groups of scored cases, each with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flyball.evaluation.item_scores import ItemScore
from flyball.records import Measure
from flyball.statistics.clustered import FEWEST_CLUSTERS
from flyball.statistics.fairness import DIFFERENCES, GAPS, RATIOS, SHARES, SMALLEST_GROUP, Confusion
from flyball.statistics.group_limits import Count, difference_limits, ratio_limits
from flyball.statistics.inequality import (
    between_group_coefficient_of_variation,
    between_group_generalized_entropy_index,
    between_group_theil_index,
    coefficient_of_variation,
    differential_fairness_bias_amplification,
    generalized_entropy_index,
    smoothed_empirical_differential_fairness,
    theil_index,
)
from flyball.statistics.intervals import Interval
from flyball.statistics.resampled_counts import Replicates, resample

OUTCOMES = ("tp", "fp", "fn", "tn")
Statistic = Callable[[Sequence[Confusion]], Any]
OF_ALL: Mapping[str, Statistic] = {
    "generalized_entropy_index": generalized_entropy_index,
    "theil_index": theil_index,
    "coefficient_of_variation": coefficient_of_variation,
}
"""Between single cases: of the whole suite."""
BETWEEN: Mapping[str, Statistic] = {
    "between_group_generalized_entropy_index": between_group_generalized_entropy_index,
    "between_group_theil_index": between_group_theil_index,
    "between_group_coefficient_of_variation": between_group_coefficient_of_variation,
    "smoothed_empirical_differential_fairness": smoothed_empirical_differential_fairness,
    "differential_fairness_bias_amplification": differential_fairness_bias_amplification,
}
INDICES = (*OF_ALL, *BETWEEN)
RATES: Mapping[str, Sequence[str]] = {
    **{name: (rate,) for name, rate in (*DIFFERENCES.items(), *RATIOS.items())},
    "average_odds_difference": ("false_positive_rate", "true_positive_rate"),
    "average_abs_odds_difference": ("false_positive_rate", "true_positive_rate"),
    "average_predictive_value_difference": ("positive_predictive_value", "false_omission_rate"),
    "equalized_odds_difference": ("false_positive_rate", "true_positive_rate"),
}
"""The rates that a comparison rests on: each needs enough cases in a group."""
OF_ANSWERS = ("statistical_parity_difference", "disparate_impact", "smoothed_empirical_differential_fairness")
"""What can be said without knowing which answers are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of the groups along some dimensions, over `n` cases."""

    name: str
    dimensions: tuple[str, ...]
    value: float
    lower: float
    upper: float
    n: int

    def measure(self, suite: str, level: float, part: str | None = None) -> Measure:
        """As a report has it."""
        return Measure(
            suite=suite,
            name=self.name,
            value=self.value,
            lower=min(self.lower, self.value),
            upper=max(self.upper, self.value),
            level=level,
            n=self.n,
            slice=part,
        )


Cell = tuple[tuple[tuple[str, str], ...], str]
"""All groups of a case, and its outcome."""


class Groups:
    """Scored cases by group and outcome; resampled once for all comparisons."""

    def __init__(self, cases: Sequence[tuple[ItemScore, str]]) -> None:
        self.knows_truth = all(score.expected is not None for score, _ in cases)
        self.counts: dict[Cell, int] = {}
        self.clusters: dict[Hashable, dict[Cell, int]] = {}
        for at, (score, outcome) in enumerate(cases):
            cell = (tuple(sorted(score.groups.items())), outcome)
            self.counts[cell] = self.counts.get(cell, 0) + 1
            cluster = self.clusters.setdefault(at if score.cluster is None else score.cluster, {})
            cluster[cell] = cluster.get(cell, 0) + 1
        self.cells = list(self.counts)

    @cached_property
    def replicates(self) -> Replicates:
        """What further samples of the same clusters would count."""
        return resample(list(self.clusters.values()), self.cells)

    @cached_property
    def clusters_of(self) -> list[set[Hashable]]:
        """Of each cell, the clusters with cases in it."""
        found: dict[Cell, set[Hashable]] = {cell: set() for cell in self.cells}
        for name, cluster in self.clusters.items():
            for cell in cluster:
                found[cell].add(name)
        return list(found.values())

    def compare(self, dimensions: tuple[str, ...], level: float) -> Iterator[Comparison]:
        """Every metric along these dimensions that has a value; along none, those of the whole suite."""
        places = self.places(dimensions)
        table = OF_ALL if not dimensions else {**GAPS, **BETWEEN}
        for name, statistic in table.items():
            if not self.knows_truth and name not in OF_ANSWERS:
                continue
            kept = self.large_enough(places, RATES.get(name, ()))
            if len(kept) < (2 if dimensions else 1):
                continue
            if (compared := self.compared(name, dimensions, statistic, kept, level)) is not None:
                yield compared

    def compared(
        self,
        name: str,
        dimensions: tuple[str, ...],
        statistic: Statistic,
        places: Sequence[Mapping[str, list[int]]],
        level: float,
    ) -> Comparison | None:
        """One metric with its interval; None where it has no value, or nothing says how sure it is."""

        def of(cells: Sequence[Any]) -> Any:
            return statistic([confusion(place, cells) for place in places])

        seen = list(self.counts.values())
        value = float(of(seen))
        if not math.isfinite(value):
            return None
        whole = 1.0 if name in GAPS else math.inf
        if len(self.clusters) < FEWEST_CLUSTERS:
            interval: Interval | None = (0.0, 1.0) if name in GAPS else None
        else:
            interval = self.replicates.interval(of, level)
        if interval is None:
            return None
        lower, upper = interval
        if name in GAPS:
            counts = {rate: [self.independent(place, rate) for place in places] for rate in RATES[name]}
            low, high = exact_limits(name, counts, value, level)
            lower, upper = min(lower, low), max(upper, high)
        elif lower == upper:
            return None
        else:
            lower = min(lower, 2 * value - upper)  # what is largest by chance is too large in every replicate too
        n = sum(seen[at] for place in places for some in place.values() for at in some)
        return Comparison(name=name, dimensions=dimensions, value=value, lower=lower, upper=min(upper, whole), n=n)

    def places(self, dimensions: tuple[str, ...]) -> list[dict[str, list[int]]]:
        """Of each group along the dimensions, which cells are its outcomes; cases that lack one are in no group."""
        found: dict[tuple[str, ...], dict[str, list[int]]] = {}
        for at, (groups, outcome) in enumerate(self.cells):
            values = dict(groups)
            if all(dimension in values for dimension in dimensions):
                group = found.setdefault(tuple(values[dimension] for dimension in dimensions), {})
                group.setdefault(outcome, []).append(at)
        return [found[key] for key in sorted(found)]

    def large_enough(self, places: Sequence[dict[str, list[int]]], rates: Sequence[str]) -> list[dict[str, list[int]]]:
        """The groups in which every one of these rates, and the group itself, has enough cases."""
        seen = list(self.counts.values())
        kept = []
        for place in places:
            group = confusion(place, seen)
            wholes = [group.n, *(SHARES[rate][1](group) for rate in rates)]
            if min(wholes) >= SMALLEST_GROUP:
                kept.append(place)
        return kept

    def independent(self, place: Mapping[str, list[int]], rate: str) -> Count:
        """(part, whole) of a rate, scaled down to the number of clusters that the whole comes from."""
        part, whole = SHARES[rate]
        group = confusion(place, list(self.counts.values()))
        parts, wholes = int(part(group)), int(whole(group))
        if len(self.clusters) == sum(self.counts.values()):
            return parts, wholes
        counted = [at for outcome, some in place.items() if whole(Confusion(**{outcome: 1})) for at in some]
        touching = len(set().union(*(self.clusters_of[at] for at in counted)))
        return round(parts * touching / wholes), touching


def confusion(place: Mapping[str, list[int]], cells: Sequence[Any]) -> Confusion:
    """The counts of one group."""
    return Confusion(*(sum((cells[at] for at in place.get(outcome, ())), start=0) for outcome in OUTCOMES))


def exact_limits(name: str, counts: Mapping[str, Sequence[Count]], value: float, level: float) -> Interval:
    """Limits from the exact ones of each rate. A mean of two gaps shares the error between them.

    A signed mean (average odds, predictive value) is at most the mean of the absolute gaps; that is its upper limit.
    """
    if name in RATIOS:
        return ratio_limits(next(iter(counts.values())), level)
    if name == "equalized_odds_difference":
        limits = [difference_limits(some, level) for some in counts.values()]
        return min(low for low, _ in limits), max(high for _, high in limits)
    if len(counts) == 1:
        return difference_limits(next(iter(counts.values())), level)
    halves = [difference_limits(some, (1.0 + level) / 2.0)[1] for some in counts.values()]
    high = sum(halves) / len(halves)
    return max(0.0, 2 * value - high), high
