"""Many tests at once: Holm's procedure for a fixed family, and alpha spent over candidates that come in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence


def spent_share(look: int) -> float:
    """The part of alpha that the `look`-th candidate of a suite gets: 6 / (π² look²), which adds up to 1 for ever."""
    return 6.0 / (math.pi * look) ** 2


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall with a family-wise error of at most alpha (Holm 1979, Scand. J. Statistics 6:65)."""
    return [adjusted <= alpha for adjusted in holm_adjusted(p_values)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
