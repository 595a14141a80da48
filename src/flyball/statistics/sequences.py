"""e-processes: tests that may be looked at after every observation and stopped at any time.

An e-value starts at 1 and, while the null hypothesis holds, exceeds 1/α at any time with probability at most α (Ville
1939). Each class here averages bets on several alternatives, fixed beforehand ("grid" betting: Waudby-Smith and Ramdas
2024, JRSS B 86:1, §5), so nothing is tuned to the data. `state()` is a small dict of JSON types, `restore` goes on from
it. The tests of two arms and of the split have files of their own and are offered here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from flyball.errors import InputError
from flyball.statistics.sample_ratio import SampleRatio
from flyball.statistics.two_arm import Arm, TwoArm, TwoArmHarm, TwoArmNonInferior

GRID = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Alternatives, as the share of the way from the null to the end of the scale."""


def mean_of_exponentials(logs: Sequence[float]) -> float:
    """Logarithm of the mean of exp(logs), without overflow."""
    top = max(logs)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))


class MeanAbove:
    """Against "the mean of these scores in [0, 1] is at most `null`": grows when it is higher.

    Wealth ∏(1 + λ(x − null)) for six fixed λ in (0, 1/null), averaged (Waudby-Smith and Ramdas 2024, eq. 21 and §5).
    """

    def __init__(self, null: float) -> None:
        if not 0.0 < null < 1.0:
            raise InputError(f"a null of {null} cannot be tested", cure="give one strictly between 0 and 1")
        self.null = null
        self.n = 0
        self.total = 0.0
        self.peak = 0.0  # of the log e-value
        self._wealth = [0.0] * len(GRID)
        self._bets = tuple(share / null for share in self._shares(null))

    @staticmethod
    def _shares(null: float) -> tuple[float, ...]:
        """λ·null for the bet that is best when the true mean is null + g(1 − null): λ = (p − null)/(null(1 − null))."""
        return tuple(min(0.99, share) for share in GRID)

    def update(self, score: float) -> float:
        """Take one score and give the e-value after it."""
        gap = score - self.null
        self._wealth = [wealth + math.log1p(bet * gap) for wealth, bet in zip(self._wealth, self._bets, strict=True)]
        self.n += 1
        self.total += score
        current = mean_of_exponentials(self._wealth)
        self.peak = max(self.peak, current)
        return math.exp(min(current, 700.0))

    @property
    def e_value(self) -> float:
        """Evidence now: 1 at the start, 1/α and more proves the alternative at error α."""
        return math.exp(min(mean_of_exponentials(self._wealth), 700.0))

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return math.exp(-self.peak)

    def rejects(self, alpha: float) -> bool:
        """Whether the null has fallen at error `alpha`, now or at any time before."""
        return self.peak >= -math.log(alpha)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {"null": self.null, "n": self.n, "total": self.total, "peak": self.peak, "wealth": list(self._wealth)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The sequence that `state()` described."""
        sequence = cls(state["null"])
        sequence.n, sequence.total, sequence.peak = state["n"], state["total"], state["peak"]
        sequence._wealth = list(state["wealth"])
        return sequence


class BernoulliAbove(MeanAbove):
    """Against "the share of ones is at most `null`", for outcomes that are 0 or 1: an exact test at any time."""


class MeanBelow:
    """Against "the mean of these scores in [0, 1] is at least `null`": grows when it is lower."""

    def __init__(self, null: float) -> None:
        self.null = null
        self._mirror = MeanAbove(1.0 - null)

    def update(self, score: float) -> float:
        """Take one score and give the e-value after it."""
        return self._mirror.update(1.0 - score)

    @property
    def n(self) -> int:
        """Scores taken so far."""
        return self._mirror.n

    @property
    def total(self) -> float:
        """Their sum."""
        return self._mirror.n - self._mirror.total

    @property
    def e_value(self) -> float:
        """Evidence now: 1/α and more proves the alternative at error α."""
        return self._mirror.e_value

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return self._mirror.p_value

    def rejects(self, alpha: float) -> bool:
        """Whether the null has fallen at error `alpha`, now or at any time before."""
        return self._mirror.rejects(alpha)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {"null": self.null, "mirror": self._mirror.state()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The sequence that `state()` described."""
        sequence = cls(state["null"])
        sequence._mirror = MeanAbove.restore(state["mirror"])
        return sequence


class BernoulliBelow(MeanBelow):
    """Against "the share of ones is at least `null`", for outcomes that are 0 or 1: an exact test at any time."""


__all__ = [
    "Arm",
    "BernoulliAbove",
    "BernoulliBelow",
    "MeanAbove",
    "MeanBelow",
    "SampleRatio",
    "TwoArm",
    "TwoArmHarm",
    "TwoArmNonInferior",
]
