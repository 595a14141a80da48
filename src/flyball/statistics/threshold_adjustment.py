"""Thresholds by group that give every group the same rate. Pure.

Hardt, Price and Srebro 2016 (NeurIPS, arXiv:1610.02413), without randomised thresholds: over all cases the thresholds
equalise selection rates, over those whose truth is favourable true positive rates. Equal probabilities are never
divided, so a rate is as near to the wanted one as they allow. Choose thresholds on other cases than they are judged on.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from flyball.errors import InputError


def group_thresholds(
    probabilities: Sequence[float], groups: Sequence[Hashable], share: float | None = None
) -> dict[Hashable, float]:
    """Group → the least probability that is favourable; `share`: the rate of each, else that at .5 over all cases."""
    if len(probabilities) != len(groups) or not groups:
        raise InputError(f"{len(probabilities)} probabilities, {len(groups)} groups", cure="give each case one of both")
    if not all(0.0 <= probability <= 1.0 for probability in probabilities):
        raise InputError("a probability is not from 0 to 1", cure="leave out cases without one")
    wanted = sum(probability >= 0.5 for probability in probabilities) / len(groups) if share is None else share
    if not 0.0 <= wanted <= 1.0:
        raise InputError(f"a share of {wanted:g}", cure="give one from 0 to 1")
    members: dict[Hashable, list[float]] = {}
    for probability, group in zip(probabilities, groups, strict=True):
        members.setdefault(group, []).append(probability)
    return {group: threshold(sorted(mine, reverse=True), wanted) for group, mine in members.items()}


def threshold(falling: Sequence[float], share: float) -> float:
    """The value at or above which the share of `falling` is nearest to `share`; infinite where nobody is favoured."""
    best, error = math.inf, share
    for place, probability in enumerate(falling, start=1):
        last = place == len(falling) or falling[place] < probability
        if last and abs(place / len(falling) - share) < error:
            best, error = probability, abs(place / len(falling) - share)
    return best
