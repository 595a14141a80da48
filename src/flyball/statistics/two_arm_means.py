"""Candidate against live by the mean of a bounded score, such as cost: exact evidence at any time, by betting.

Each block holds at least one unit of both arms and closes at once, so that what it contains depends on assignments
only. Against "the first mean is at least `factor` times the second" a block pays 1 + λ(factor·ȳ₂ − ȳ₁), whose mean is
at most one for any distribution on [0, 1] and any λ in [0, 1) (Waudby-Smith and Ramdas 2024, JRSS B 86:1, §4). Five
fixed λ are played at once and averaged. No burn-in, no normal approximation: scores need a known upper end only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from flyball.errors import InputError

BETS = (0.1, 0.25, 0.5, 0.75, 0.95)
MOST_WEALTH = 1e300


class RatioBelow:
    """Proves that the mean of the first arm is below `factor` times that of the second; scores lie in [0, 1]."""

    def __init__(self, factor: float = 1.0) -> None:
        if not 0.0 < factor < math.inf:
            raise InputError(f"a factor of {factor} cannot be tested", cure="give one above 0, such as 1.25")
        self.factor = factor
        self.pending = [0.0, 0.0, 0.0, 0.0]  # units and sum of the first arm, of the second
        self.wealth = [1.0 / len(BETS)] * len(BETS)
        self.best = 1.0  # the largest e-value so far

    def update(self, place: int, score: float) -> float:
        """Take one unit's score (`place` 0: of the first arm, 1: of the second) and give the e-value after it."""
        pending = self.pending
        pending[2 * place] += 1.0
        pending[2 * place + 1] += score
        if pending[0] and pending[2]:
            self._close()
        return sum(self.wealth)

    def take_block(self, n_first: float, first: float, n_second: float, second: float) -> None:
        """Count what a whole block holds (units and sum of both arms) and close it."""
        self.pending = [n_first, first, n_second, second]
        self._close()

    def _close(self) -> None:
        n_first, first, n_second, second = self.pending
        gain = self.factor * second / n_second - first / n_first
        self.wealth = [
            min(wealth * (1.0 + bet * gain), MOST_WEALTH) for wealth, bet in zip(self.wealth, BETS, strict=True)
        ]
        self.pending = [0.0, 0.0, 0.0, 0.0]
        self.best = max(self.best, sum(self.wealth))

    @property
    def e_value(self) -> float:
        """Evidence now: 1 at the start, 1/α and more proves the claim at error α."""
        return sum(self.wealth)

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return 1.0 / self.best

    def rejects(self, alpha: float) -> bool:
        """Whether the claim is proven at error `alpha`, now or at any time before."""
        return self.best * alpha >= 1.0

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {
            "factor": self.factor,
            "pending": list(self.pending),
            "wealth": list(self.wealth),
            "best": self.best,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The sequence that `state()` described."""
        sequence = cls(state["factor"])
        sequence.pending, sequence.wealth, sequence.best = list(state["pending"]), list(state["wealth"]), state["best"]
        return sequence
