"""Candidate against live, one good-or-bad score per unit: exact evidence at any time and under any allocation.

Turner, Ly and Grünwald 2024 (J. Statistical Planning and Inference 230:106116) give, for a block of n_a and n_b
outcomes and alternatives chosen before it, an e-variable: the likelihood ratio of the alternatives against their
projection on the null. Turner and Grünwald 2023 (Statistics & Probability Letters 198:109835) extend it to any convex
null, such as "b − a is at least `gap`". What a block contains depends on assignments only, never on outcomes, so 1:9
works as 1:1 does.

Several alternatives are played at once and averaged. Rates come from earlier blocks (plug-in); distances from the null
are fixed: odds ratios for harm, steps around equality for non-inferiority.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, Self

from flyball.errors import InputError

Arm = Literal["live", "candidate"]
CLOSE_AT = 0.02
"""A block is closed at this share of the information gathered before it: short blocks waste units, long ones time."""
HARM_LOGITS = (0.15, 0.3, 0.6, 1.2, 2.4)
EQUAL_STEPS = (0.5, 1.0, 1.0, 1.5)
"""Alternatives to "worse by the margin", in margins above it; 1 is an equal candidate, which is played twice."""


def projection(a: float, b: float, n_a: int, n_b: int, gap: float) -> float:
    """The x that minimises n_a·KL(a‖x) + n_b·KL(b‖x + gap): a's rate at the null's point closest to (a, b).

    The same equation as the restricted estimate of two rates at a given difference (Miettinen and Nurminen 1985).
    """
    if gap == 0.0:
        return (n_a * a + n_b * b) / (n_a + n_b)
    low, high = max(0.0, -gap), min(1.0, 1.0 - gap)
    x = min(max((n_a * a + n_b * (b - gap)) / (n_a + n_b), low + 1e-9), high - 1e-9)
    for _ in range(60):
        y = x + gap
        slope = n_a * (x - a) / (x * (1.0 - x)) + n_b * (y - b) / (y * (1.0 - y))
        if slope > 0.0:
            high = x
        else:
            low = x
        bend = n_a * (a / (x * x) + (1.0 - a) / (1.0 - x) ** 2) + n_b * (b / (y * y) + (1.0 - b) / (1.0 - y) ** 2)
        following = x - slope / bend
        if not low < following < high:
            following = (low + high) / 2.0
        if abs(following - x) < 1e-13:
            return following
        x = following
    return x


class TwoArm(ABC):
    """Evidence against "b − a is at least `gap`" from blocks of outcomes; see the two tests below."""

    def __init__(self, gap: float, alternatives: int) -> None:
        if not -1.0 < gap < 1.0:
            raise InputError(f"a difference of {gap} cannot be tested", cure="give one between −1 and 1")
        self.gap = gap
        self.counts = [0, 0, 0, 0]  # in closed blocks: a good, a bad, b good, b bad
        self.pending = [0, 0, 0, 0]
        self.information = 0.0
        self.wealth = [0.0] * alternatives
        self.log_e_value = 0.0  # of the evidence in closed blocks
        self.peak = 0.0  # of the log e-value

    @abstractmethod
    def alternatives(self, a: float, b: float, n_a: int, n_b: int) -> list[tuple[float, float]]:
        """(a, b) pairs outside the null, from the rates seen so far and their weights."""

    def take(self, index: int) -> None:
        """Count one outcome (0 a good, 1 a bad, 2 b good, 3 b bad) and close the block when it is due."""
        pending = self.pending
        pending[index] += 1
        n_a, n_b = pending[0] + pending[1], pending[2] + pending[3]
        if not n_a or not n_b:
            return
        information = n_a * n_b / (n_a + n_b)
        if information >= CLOSE_AT * self.information:
            self._close(n_a, n_b, information)

    def _close(self, n_a: int, n_b: int, information: float) -> None:
        a_good, a_bad, b_good, b_bad = self.pending
        seen = self.counts
        all_a, all_b = seen[0] + seen[1], seen[2] + seen[3]
        a, b = (seen[0] + 0.5) / (all_a + 1.0), (seen[2] + 0.5) / (all_b + 1.0)
        wealth = self.wealth
        for index, (alt_a, alt_b) in enumerate(self.alternatives(a, b, all_a + 1, all_b + 1)):
            null_a = projection(alt_a, alt_b, n_a, n_b, self.gap)
            null_b = null_a + self.gap
            wealth[index] += (
                a_good * math.log(alt_a / null_a)
                + a_bad * math.log((1.0 - alt_a) / (1.0 - null_a))
                + b_good * math.log(alt_b / null_b)
                + b_bad * math.log((1.0 - alt_b) / (1.0 - null_b))
            )
        for index, count in enumerate(self.pending):
            seen[index] += count
        self.pending = [0, 0, 0, 0]
        self.information += information
        self._weigh()
        self.peak = max(self.peak, self.log_e_value)

    def _weigh(self) -> None:
        top = max(self.wealth)
        self.log_e_value = top + math.log(sum([math.exp(value - top) for value in self.wealth]) / len(self.wealth))

    @property
    def e_value(self) -> float:
        """Evidence now: 1 at the start, 1/α and more proves the claim at error α."""
        return math.exp(min(self.log_e_value, 700.0))

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return math.exp(-self.peak)

    def rejects(self, alpha: float) -> bool:
        """Whether the claim is proven at error `alpha`, now or at any time before."""
        return self.peak >= -math.log(alpha)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {
            "gap": self.gap,
            "counts": list(self.counts),
            "pending": list(self.pending),
            "information": self.information,
            "wealth": list(self.wealth),
            "peak": self.peak,
        }

    def _load(self, state: Mapping[str, Any]) -> Self:
        self.gap, self.information, self.peak = state["gap"], state["information"], state["peak"]
        self.counts, self.pending = list(state["counts"]), list(state["pending"])
        self.wealth = list(state["wealth"])
        self._weigh()
        return self


class TwoArmHarm(TwoArm):
    """Proves that the candidate is worse than live by more than `beyond` (0: worse at all)."""

    def __init__(self, beyond: float = 0.0) -> None:
        super().__init__(-beyond, len(HARM_LOGITS))

    def update(self, arm: Arm, good: bool) -> float:
        """Take one unit's score, in order of first exposure, and give the e-value after it."""
        self.take((0 if arm == "live" else 2) + (not good))
        return self.e_value

    def alternatives(self, a: float, b: float, n_a: int, n_b: int) -> list[tuple[float, float]]:
        """Candidates whose odds are lower by fixed factors than what `beyond` allows, around the pooled rate."""
        pairs = []
        for step in HARM_LOGITS:
            centre = (n_a * _logit(a) + n_b * (_logit(min(max(b - self.gap, 1e-4), 1 - 1e-4)) + step)) / (n_a + n_b)
            live = min(max(_expit(centre), 1e-4 - min(self.gap, 0.0)), 1.0 - 1e-6)
            allowed = min(max(live + self.gap, 1e-6), 1 - 1e-6)
            pairs.append((live, _expit(_logit(allowed) - step)))
        return pairs

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> TwoArmHarm:
        """The sequence that `state()` described."""
        return cls(-state["gap"])._load(state)


class TwoArmNonInferior(TwoArm):
    """Proves that the candidate is worse than live by less than `margin`."""

    def __init__(self, margin: float) -> None:
        super().__init__(margin, len(EQUAL_STEPS))  # a: candidate, b: live; null: live − candidate ≥ margin

    def update(self, arm: Arm, good: bool) -> float:
        """Take one unit's score, in order of first exposure, and give the e-value after it."""
        self.take((2 if arm == "live" else 0) + (not good))
        return self.e_value

    def alternatives(self, a: float, b: float, n_a: int, n_b: int) -> list[tuple[float, float]]:
        """Candidates half a margin worse, equal, and half a margin better, around the pooled rate."""
        pairs = []
        for step in EQUAL_STEPS:
            lead = (step - 1.0) * self.gap  # of the candidate over live
            live = min(max((n_b * b + n_a * (a - lead)) / (n_a + n_b), 1e-4), 1.0 - 1e-4)
            pairs.append((min(max(live + lead, 1e-5), 1.0 - 1e-5), live))
        return pairs

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> TwoArmNonInferior:
        """The sequence that `state()` described."""
        return cls(state["gap"])._load(state)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
