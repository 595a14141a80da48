"""Weights of training rows that make the label independent of the group. Pure.

Kamiran and Calders 2012 (Knowledge and Information Systems 33:1): a row of group g with label y weighs
n(g) · n(y) / (n · n(g, y)), what would be expected were the two independent by what is seen. The weights of a group, of
a label, and of all rows sum to their numbers. Groups may be intersections, labels any number; AIF360's Reweighing is
the case of two and two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from flyball.errors import InputError

Pair = tuple[Hashable, Hashable]
"""(group, label)."""


def reweighing(groups: Sequence[Hashable], labels: Sequence[Hashable]) -> dict[Pair, float]:
    """The weight of the rows of each group and label that occur together.

    A label that a group never has cannot be weighed up: the rows of that group then keep less than their number.
    """
    if len(groups) != len(labels):
        raise InputError(f"{len(groups)} groups, {len(labels)} labels", cure="give each row one of both")
    by_group, by_label = Counter(groups), Counter(labels)
    both = Counter(zip(groups, labels, strict=True))
    return {pair: by_group[pair[0]] * by_label[pair[1]] / (len(groups) * count) for pair, count in both.items()}


def weights_of(groups: Sequence[Hashable], labels: Sequence[Hashable]) -> list[float]:
    """The weight of each row, in their order."""
    table = reweighing(groups, labels)
    return [table[pair] for pair in zip(groups, labels, strict=True)]
