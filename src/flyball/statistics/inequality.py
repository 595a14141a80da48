"""Unfairness between single cases and between all groups at once: generalised entropy, differential fairness. Pure.

Generalised entropy of the benefits b = answer − truth + 1 (Speicher et al. 2018, KDD, arXiv:1807.00787): 2 for a
favour that was not due, 0 for one that was withheld, 1 for a right answer. Smoothed empirical differential fairness:
Foulds et al. 2020 (ICDE, arXiv:1807.08362). Consistency: Zemel et al. 2013 (ICML). Equal to AIF360 0.6.1 where it has
them; its index at alpha 0, which is infinite as soon as one favour was withheld, is left out. Counts are numbers or
arrays, as in fairness.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Final

from flyball.errors import InputError
from flyball.statistics.fairness import Confusion, Number, divided, largest, smallest

ALPHA: Final = 2.0
CONCENTRATION: Final = 1.0


def benefit(group: Confusion) -> Number:
    """Mean benefit of a group: above 1 where it is favoured beyond what is due, below 1 where less."""
    return divided(group.n + group.fp - group.fn, group.n)


def generalized_entropy_index(groups: Sequence[Confusion], alpha: float = ALPHA) -> Number:
    """Inequality of the benefits of all cases; 0 where all are equal."""
    whole = reduce(add, groups)
    mean = benefit(whole)
    right = whole.tp + whole.tn
    if alpha == 1:
        return divided(whole.fp * 2 * math.log(2), whole.n * mean) - log(mean)
    return (divided(right + whole.fp * 2**alpha, whole.n * mean**alpha) - 1) / _scale(alpha)


def between_group_generalized_entropy_index(groups: Sequence[Confusion], alpha: float = ALPHA) -> Number:
    """The part of it that lies between the groups: every case has the mean benefit of its group. Empty ones count 0."""
    whole = reduce(add, groups)
    mean = benefit(whole)
    totals = [group.n + group.fp - group.fn for group in groups]
    sizes = [group.n for group in groups]
    if alpha == 1:
        pairs = zip(sizes, totals, strict=True)
        return divided(sum(_entropy(total, size) for size, total in pairs), whole.n * mean) - log(mean)
    parts = [total**alpha * _safe(size) ** (1 - alpha) for size, total in zip(sizes, totals, strict=True)]
    return (divided(sum(parts), whole.n * mean**alpha) - 1) / _scale(alpha)


def theil_index(groups: Sequence[Confusion]) -> Number:
    """Generalised entropy with alpha 1."""
    return generalized_entropy_index(groups, 1)


def coefficient_of_variation(groups: Sequence[Confusion]) -> Number:
    """The root of twice the generalised entropy with alpha 2."""
    return root(2 * generalized_entropy_index(groups, 2))


def between_group_theil_index(groups: Sequence[Confusion]) -> Number:
    """The Theil index between groups; over all intersections, AIF360's between_all_groups_theil_index."""
    return between_group_generalized_entropy_index(groups, 1)


def between_group_coefficient_of_variation(groups: Sequence[Confusion]) -> Number:
    """The coefficient of variation between groups."""
    return root(2 * between_group_generalized_entropy_index(groups, 2))


def smoothed_empirical_differential_fairness(
    groups: Sequence[Confusion], concentration: float = CONCENTRATION
) -> Number:
    """The largest log ratio, between two groups, of the smoothed chance of either answer; 0 where all are equal.

    AIF360's metric of a data set is this one over the groups' `truth`.
    """
    if concentration <= 0:
        raise InputError(f"a concentration of {concentration:g}", cure="give a number above 0, such as 1")
    chances = [(group.tp + group.fp + concentration / 2) / (group.n + concentration) for group in groups]
    sides = [[log(chance) for chance in chances], [log(1 - chance) for chance in chances]]
    return largest([largest(side) - smallest(side) for side in sides])


def differential_fairness_bias_amplification(
    groups: Sequence[Confusion], concentration: float = CONCENTRATION
) -> Number:
    """Differential fairness of the answers minus that of the truth: above 0, the model adds bias to its data's."""
    truth = smoothed_empirical_differential_fairness([group.truth for group in groups], concentration)
    return smoothed_empirical_differential_fairness(groups, concentration) - truth


def consistency(labels: Sequence[float], neighbours: Sequence[Sequence[int]]) -> float:
    """1 minus the mean distance between a case's label and the mean label of its neighbours (places in `labels`).

    Who is near is for the caller to say: AIF360 takes 5 neighbours, the case itself among them, by Euclidean distance.
    """
    if not labels or len(labels) != len(neighbours) or not all(neighbours):
        raise InputError(f"{len(labels)} labels, {len(neighbours)} lists of neighbours", cure="give each some")
    gaps = (
        abs(label - sum(labels[at] for at in near) / len(near)) for label, near in zip(labels, neighbours, strict=True)
    )
    return 1.0 - math.fsum(gaps) / len(labels)


def log(value: Number) -> Number:
    """The natural logarithm; minus infinity of 0."""
    if isinstance(value, int | float):
        return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan
    import numpy  # arrays are NumPy's already

    return numpy.log(value)


def root(value: Number) -> Number:
    """The square root, where rounding may have gone below 0."""
    return (abs(value) + value) ** 0.5 / 2**0.5


def _entropy(total: Number, size: Number) -> Number:
    """size · μ · ln μ of a group with mean benefit μ; 0 for an empty group and for μ = 0."""
    return total * log((total + (total == 0)) / _safe(size))


def _safe(size: Number) -> Number:
    return size + (size == 0)


def _scale(alpha: float) -> float:
    if alpha <= 0:
        raise InputError(f"a generalised entropy of alpha {alpha:g}", cure="give an alpha above 0: 1 (Theil) or 2")
    return alpha * (alpha - 1)
