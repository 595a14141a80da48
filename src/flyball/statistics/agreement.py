"""Agreement of two raters beyond chance: Cohen's kappa with its interval. Pure.

Cohen 1960 (Educational and Psychological Measurement 20:37). Interval: count-multinomial bootstrap over clusters
(resampled_counts.py); the whole range where there are under 20 clusters, or where kappa often has no value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.statistics.clustered import FEWEST_CLUSTERS
from flyball.statistics.fairness import divided
from flyball.statistics.resampled_counts import Cells, resample


@dataclass(frozen=True, slots=True)
class Rated:
    """What two raters said of one case, and the cluster that it is in."""

    first: str
    second: str
    cluster: Hashable


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa with its interval; None where both raters always say one and the same."""

    value: float | None
    lower: float
    upper: float


def cohens_kappa(cases: Sequence[Rated], level: float) -> Kappa:
    """How far two raters agree beyond chance: 1 always, 0 as often as chance would, below 0 less often."""
    counts: dict[Hashable, Counter[tuple[str, str]]] = {}
    for case in cases:
        counts.setdefault(case.cluster, Counter())[case.first, case.second] += 1
    cells = sorted({(case.first, case.second) for case in cases})
    whole = Counter((case.first, case.second) for case in cases)
    value = kappa_of(cells, [whole[cell] for cell in cells])
    if not math.isfinite(value):
        return Kappa(None, -1.0, 1.0)
    if len(counts) < FEWEST_CLUSTERS:
        return Kappa(value, -1.0, 1.0)
    interval = resample(list(counts.values()), cells).interval(lambda some: kappa_of(cells, some), level)
    lower, upper = interval or (-1.0, 1.0)
    return Kappa(value, min(lower, value), max(upper, value))


def kappa_of(cells: Sequence[tuple[str, str]], counts: Cells) -> Any:
    """Kappa of counts by (first, second); NaN where chance alone explains every agreement."""
    total = sum(counts)
    agreed = sum(count for (one, other), count in zip(cells, counts, strict=True) if one == other)
    chance: Any = 0.0
    for label in {label for cell in cells for label in cell}:
        first = sum(count for cell, count in zip(cells, counts, strict=True) if cell[0] == label)
        second = sum(count for cell, count in zip(cells, counts, strict=True) if cell[1] == label)
        chance = chance + first * second
    return divided(agreed * total - chance, total * total - chance)
