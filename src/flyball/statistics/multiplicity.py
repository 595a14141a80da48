"""Many tests at once: Holm for a fixed family, e-LOND for a stream without an end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


@dataclass(slots=True)
class ELond:
    """Online false-discovery control with e-values under any dependence (Xu and Ramdas 2024, AISTATS: e-LOND).

    The t-th test is a discovery when its e-value is at least 1 / (alpha · γ_t · (discoveries before + 1)), with
    γ_t = 1 / (t (t + 1)), which sums to one. State: `tests` and `discoveries`.
    """

    alpha: float
    tests: int = 0
    discoveries: int = 0

    def test(self, e_value: float) -> bool:
        """Whether the next test of the stream is a discovery."""
        self.tests += 1
        level = self.alpha * (self.discoveries + 1) / (self.tests * (self.tests + 1))
        found = e_value >= 1.0 / level
        self.discoveries += found
        return found


def e_lond(e_values: Iterable[float], alpha: float) -> list[bool]:
    """e-LOND over a finished stream: which of its tests are discoveries."""
    stream = ELond(alpha)
    return [stream.test(e_value) for e_value in e_values]
