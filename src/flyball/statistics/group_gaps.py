"""Comparisons between the groups of cases, each with its interval: what a report shows and a gate decides on. Pure.

Intervals: the count-multinomial bootstrap over clusters (resampled_counts.py), widened to exact limits where those are
wider (group_limits.py), so that 20 of 20 is no proof. Under 20 clusters the interval is the whole range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from flyball.statistics.clustered import FEWEST_CLUSTERS, clustered_mean
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
AMPLIFICATION = "differential_fairness_bias_amplification"
"""The one index that may be negative."""
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


@dataclass(frozen=True, slots=True)
class GroupCase:
    """One case: dimension → group, its outcome (of `OUTCOMES`), and the cluster that it is in."""

    groups: Mapping[str, str]
    outcome: str
    cluster: Hashable | None = None


FAVOURABLE: Final = "favourable"
"""The side of a label, and what item scores of favourable answers are called."""


def group_case(groups: Mapping[str, str], expected: str | None, answer: str | None, cluster: str | None) -> GroupCase:
    """The case of a side that was due and a side that was given; without a truth only what was given counts."""
    favoured = answer == FAVOURABLE
    if expected is None:
        return GroupCase(groups, "tp" if favoured else "tn", cluster)
    due = ("tp" if favoured else "fn") if expected == FAVOURABLE else ("fp" if favoured else "tn")
    return GroupCase(groups, due, cluster)


Cell = tuple[tuple[tuple[str, str], ...], str]
"""All groups of a case, and its outcome."""


class Groups:
    """Cases by group and outcome; resampled once for all comparisons. Without a truth only answers are compared."""

    def __init__(self, cases: Sequence[GroupCase], *, knows_truth: bool) -> None:
        self.knows_truth = knows_truth
        self.dimensions = list(dict.fromkeys(dimension for case in cases for dimension in case.groups))
        self.counts: dict[Cell, int] = {}
        self.clusters: dict[Hashable, dict[Cell, int]] = {}
        for at, case in enumerate(cases):
            cell = (tuple(sorted(case.groups.items())), case.outcome)
            self.counts[cell] = self.counts.get(cell, 0) + 1
            cluster = self.clusters.setdefault(at if case.cluster is None else case.cluster, {})
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
        for name in (*GAPS, *BETWEEN) if dimensions else OF_ALL:
            if (compared := self.one(name, dimensions, level)) is not None:
                yield compared

    def one(self, name: str, dimensions: tuple[str, ...], level: float) -> Comparison | None:
        """One metric along these dimensions; None where it has no value."""
        if not self.knows_truth and name not in OF_ANSWERS:
            return None
        kept = self.large_enough(self.places(dimensions), RATES.get(name, ()))
        if len(kept) < (2 if dimensions else 1):
            return None
        statistic = {**GAPS, **BETWEEN, **OF_ALL}[name]
        return self.compared(name, dimensions, statistic, kept, level)

    def rule(self, name: str, part: str | None, level: float) -> Comparison | None:
        """What a slice such as `gender` or `gender+age` names; without one the whole suite or the worst dimension."""
        if part is not None or name in OF_ALL:
            return self.one(name, tuple(part.split("+")) if part else (), level)
        found = [self.one(name, (dimension,), level) for dimension in self.dimensions]
        singles = [one for one in found if one is not None]
        return worst(singles) if singles else None

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
            alpha = (1.0 - level) / 2.0
            counts = {rate: [self.independent(place, rate, alpha) for place in places] for rate in RATES[name]}
            low, high = exact_limits(name, counts, value, level)
            lower, upper = min(lower, low), max(upper, high)
        elif lower == upper:
            return None
        else:
            # what is largest by chance is too large in every replicate too: the lower end is reflected
            lower = max(0.0 if name != AMPLIFICATION else -math.inf, min(lower, 2 * value - upper))
        n = sum(seen[at] for place in places for some in place.values() for at in some)
        lower, upper = min(lower, value), max(value, min(upper, whole))
        return Comparison(name=name, dimensions=dimensions, value=value, lower=lower, upper=upper, n=n)

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

    def independent(self, place: Mapping[str, list[int]], rate: str, alpha: float) -> Count:
        """(part, whole) of a rate, scaled to as many independent cases as say as much (Korn and Graubard 1998)."""
        part, whole = SHARES[rate]
        group = confusion(place, list(self.counts.values()))
        parts, wholes = float(part(group)), float(whole(group))
        if len(self.clusters) == sum(self.counts.values()):
            return parts, wholes
        counted = [(at, outcome) for outcome, some in place.items() if whole(Confusion(**{outcome: 1})) for at in some]
        values, names = list[float](), list[Hashable]()
        for at, outcome in counted:
            hit = float(part(Confusion(**{outcome: 1})))
            for name in self.clusters_of[at]:
                cases = self.clusters[name][self.cells[at]]
                values += [hit] * cases
                names += [name] * cases
        share, touching = parts / wholes, len(set(names))
        if touching < 2:
            return share * touching, float(touching)
        n = clustered_mean(values, names).effective_n(share * (1.0 - share), alpha)
        return share * n, n


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


def worst(comparisons: Sequence[Comparison]) -> Comparison:
    """The dimension with the largest gap; its interval ends where the worst of any of them may."""
    best = min if comparisons[0].name in RATIOS else max
    value = best(comparison.value for comparison in comparisons)
    lower = min(comparison.lower for comparison in comparisons)
    upper = max(comparison.upper for comparison in comparisons)
    largest = max(comparison.n for comparison in comparisons)
    return Comparison(name=comparisons[0].name, dimensions=(), value=value, lower=lower, upper=upper, n=largest)
