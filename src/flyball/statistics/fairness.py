"""Group fairness from confusion counts: rates, and differences and ratios between two or more groups. Pure.

Names and signs are those of AIF360's ClassificationMetric and BinaryLabelDatasetMetric (Bellamy et al. 2018,
arXiv:1810.01943): a difference is the unprivileged group's rate minus the privileged one's, a ratio is the first by the
second. `GAPS` are for any number of groups, none of them privileged, as Fairlearn has them (Weerts et al. 2023, JMLR
24:257): the largest absolute difference between any two groups, and the smallest ratio.

Counts are numbers, or NumPy arrays with one entry a replicate (resampled_counts.py): the same formulas take both.
Fractional counts give the generalised metrics (`generalised`). A share of nothing is NaN, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, Final

Number = Any
"""A float, or an array of replicates."""
SMALLEST_GROUP: Final = 20
"""A rate over fewer cases is no value: groups below it are left out of comparisons, and whoever compares says so."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """One group: cases by whether the truth and the answer are favourable (true and false positives and negatives)."""

    tp: Number = 0
    fp: Number = 0
    fn: Number = 0
    tn: Number = 0

    def __add__(self, other: Confusion) -> Confusion:
        """Both groups together."""
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def n(self) -> Number:
        """All cases."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def truth(self) -> Confusion:
        """The group as its true labels alone describe it: a data set's own metrics, and its bias before a model."""
        return Confusion(tp=self.tp + self.fn, tn=self.fp + self.tn)


def counted(pairs: Iterable[tuple[bool, bool]]) -> Confusion:
    """Counts of (truth is favourable, answer is favourable)."""
    cells = [[0, 0], [0, 0]]
    for truth, answer in pairs:
        cells[truth][answer] += 1
    return Confusion(tp=cells[1][1], fn=cells[1][0], fp=cells[0][1], tn=cells[0][0])


def generalised(pairs: Iterable[tuple[bool, float]]) -> Confusion:
    """Counts of (truth is favourable, probability given to favourable): AIF360's generalised confusion matrix."""
    tp = fp = fn = tn = 0.0
    for truth, probability in pairs:
        if truth:
            tp, fn = tp + probability, fn + 1.0 - probability
        else:
            fp, tn = fp + probability, tn + 1.0 - probability
    return Confusion(tp, fp, fn, tn)


def divided(part: Number, whole: Number) -> Number:
    """A quotient as floating point has it: NaN for 0/0, infinite for x/0."""
    if isinstance(whole, int | float):
        return part / whole if whole else math.inf if part else math.nan
    return part / whole


Part = tuple[Callable[[Confusion], Number], Callable[[Confusion], Number]]
SHARES: Final[Mapping[str, Part]] = {
    "selection_rate": (lambda c: c.tp + c.fp, lambda c: c.n),
    "base_rate": (lambda c: c.tp + c.fn, lambda c: c.n),
    "true_positive_rate": (lambda c: c.tp, lambda c: c.tp + c.fn),
    "false_negative_rate": (lambda c: c.fn, lambda c: c.tp + c.fn),
    "false_positive_rate": (lambda c: c.fp, lambda c: c.fp + c.tn),
    "true_negative_rate": (lambda c: c.tn, lambda c: c.fp + c.tn),
    "positive_predictive_value": (lambda c: c.tp, lambda c: c.tp + c.fp),
    "false_discovery_rate": (lambda c: c.fp, lambda c: c.tp + c.fp),
    "negative_predictive_value": (lambda c: c.tn, lambda c: c.fn + c.tn),
    "false_omission_rate": (lambda c: c.fn, lambda c: c.fn + c.tn),
    "error_rate": (lambda c: c.fp + c.fn, lambda c: c.n),
    "accuracy": (lambda c: c.tp + c.tn, lambda c: c.n),
}
"""Each rate as its part and its whole."""


def rate(name: str, group: Confusion) -> Number:
    """One of `SHARES` of a group."""
    part, whole = SHARES[name]
    return divided(part(group), whole(group))


def odds(group: Confusion) -> Number:
    """Mean of false and true positive rate: the difference between two groups is their average odds difference."""
    return (rate("false_positive_rate", group) + rate("true_positive_rate", group)) / 2


def predictive(group: Confusion) -> Number:
    """Mean of positive predictive value and false omission rate."""
    return (rate("positive_predictive_value", group) + rate("false_omission_rate", group)) / 2


DIFFERENCES: Final[Mapping[str, str]] = {
    "statistical_parity_difference": "selection_rate",
    "equal_opportunity_difference": "true_positive_rate",
    "true_positive_rate_difference": "true_positive_rate",
    "false_positive_rate_difference": "false_positive_rate",
    "false_negative_rate_difference": "false_negative_rate",
    "false_omission_rate_difference": "false_omission_rate",
    "false_discovery_rate_difference": "false_discovery_rate",
    "error_rate_difference": "error_rate",
}
RATIOS: Final[Mapping[str, str]] = {
    "disparate_impact": "selection_rate",
    "false_positive_rate_ratio": "false_positive_rate",
    "false_negative_rate_ratio": "false_negative_rate",
    "false_omission_rate_ratio": "false_omission_rate",
    "false_discovery_rate_ratio": "false_discovery_rate",
    "error_rate_ratio": "error_rate",
}


def difference(name: str, unprivileged: Confusion, privileged: Confusion) -> Number:
    """A rate of the unprivileged group minus that of the privileged one."""
    return rate(name, unprivileged) - rate(name, privileged)


def ratio(name: str, unprivileged: Confusion, privileged: Confusion) -> Number:
    """A rate of the unprivileged group by that of the privileged one."""
    return divided(rate(name, unprivileged), rate(name, privileged))


def average_odds_difference(unprivileged: Confusion, privileged: Confusion) -> Number:
    """Mean of the differences in false and in true positive rate; they may cancel out."""
    return odds(unprivileged) - odds(privileged)


def average_abs_odds_difference(unprivileged: Confusion, privileged: Confusion) -> Number:
    """Mean of the absolute differences in false and in true positive rate."""
    both = ("false_positive_rate", "true_positive_rate")
    return sum(abs(difference(name, unprivileged, privileged)) for name in both) / 2


def average_predictive_value_difference(unprivileged: Confusion, privileged: Confusion) -> Number:
    """Mean of the differences in positive predictive value and in false omission rate."""
    return predictive(unprivileged) - predictive(privileged)


def equalized_odds_difference(unprivileged: Confusion, privileged: Confusion) -> Number:
    """Greater of the absolute differences in false and in true positive rate; generalised, over `generalised` counts"""
    both = ("false_positive_rate", "true_positive_rate")
    return largest([abs(difference(name, unprivileged, privileged)) for name in both])


Pairwise = Callable[[Confusion, Confusion], Number]
PAIRS: Final[Mapping[str, Pairwise]] = {
    **{name: partial(difference, of) for name, of in DIFFERENCES.items()},
    "average_odds_difference": average_odds_difference,
    "average_abs_odds_difference": average_abs_odds_difference,
    "average_predictive_value_difference": average_predictive_value_difference,
    "equalized_odds_difference": equalized_odds_difference,
    **{name: partial(ratio, of) for name, of in RATIOS.items()},
}
"""Every metric of two groups, of (unprivileged, privileged). A data set's own: the same over `Confusion.truth`."""


def largest(values: Sequence[Number]) -> Number:
    """The largest, entry by entry where they are arrays; NaN where one is."""
    if all(isinstance(value, int | float) for value in values):
        return math.nan if any(math.isnan(value) for value in values) else max(values)
    return reduce(lambda one, other: (one + other + abs(one - other)) / 2, values)


def smallest(values: Sequence[Number]) -> Number:
    """The smallest, as `largest`."""
    return -largest([-value for value in values])


def spread(of: Callable[[Confusion], Number], groups: Sequence[Confusion]) -> Number:
    """The largest absolute difference between two groups."""
    values = [of(group) for group in groups]
    return largest(values) - smallest(values)


def least_ratio(name: str, groups: Sequence[Confusion]) -> Number:
    """The smallest rate by the largest: 1 where all are equal, all 0 included."""
    values = [rate(name, group) for group in groups]
    low, high = smallest(values), largest(values)
    if isinstance(high, int | float):
        return 1.0 if high == 0 else low / high
    return (low + (high == 0)) / (high + (high == 0))


def abs_odds(groups: Sequence[Confusion]) -> Number:
    """The largest average absolute odds difference between two groups."""
    pairs = [(one, other) for at, one in enumerate(groups) for other in groups[at + 1 :]]
    return largest([average_abs_odds_difference(one, other) for one, other in pairs])


def equalized_odds(groups: Sequence[Confusion]) -> Number:
    """The larger of the spreads of false and of true positive rates."""
    return largest([spread(partial(rate, name), groups) for name in ("false_positive_rate", "true_positive_rate")])


GAPS: Final[Mapping[str, Callable[[Sequence[Confusion]], Number]]] = {
    **{name: partial(spread, partial(rate, of)) for name, of in DIFFERENCES.items()},
    "average_odds_difference": partial(spread, odds),
    "average_abs_odds_difference": abs_odds,
    "average_predictive_value_difference": partial(spread, predictive),
    "equalized_odds_difference": equalized_odds,
    **{name: partial(least_ratio, of) for name, of in RATIOS.items()},
}
"""The same metrics over two or more groups: differences from 0 (equal) to 1, ratios from 0 to 1 (equal)."""
