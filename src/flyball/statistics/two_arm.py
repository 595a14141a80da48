"""Candidate against live, one good-or-bad score per unit: exact evidence at any time and under any allocation.

Turner, Ly and Grünwald 2024 (J. Statistical Planning and Inference 230:106116) give, for a block of n_a and n_b
outcomes and alternatives chosen before it, an e-variable: the likelihood ratio of the alternatives against their
projection on the null. Turner and Grünwald 2023 (Statistics & Probability Letters 198:109835) extend it to any convex
null, such as "b − a is at least `gap`". What a block contains depends on assignments only, never on outcomes, so 1:9
works as 1:1 does.

Several alternatives are played at once and averaged. Rates come from earlier blocks (plug-in); distances from the null
are fixed: odds ratios for harm, steps around equality for non-inferiority.

A score may also lie between 0 and 1: it counts as so much good and so much bad. The factor of such a unit is then the
geometric mean of the factors of a good and a bad one, which is less than their arithmetic mean; and that, being linear
in the score, is an e-variable for every distribution on [0, 1] with the same mean. So the test stays exact, of means.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from flyball.errors import InputError

Arm = Literal["live", "candidate"]
CLOSE_AT = 0.05
"""A block is closed at this share of the information gathered before it: short blocks waste units, long ones time."""
HARM_LOGITS = (0.15, 0.3, 0.6, 1.2, 2.4)
HARM_ODDS = tuple(math.exp(step) for step in HARM_LOGITS)
EQUAL_STEPS = (0.5, 1.0, 1.5)
"""Alternatives to "worse by the margin", in margins above it; 1 is an equal candidate."""
EQUAL_WEIGHTS = (0.25, 0.5, 0.25)


def projection(a: float, b: float, n_a: float, n_b: float, gap: float) -> float:
    """The x that minimises n_a·KL(a‖x) + n_b·KL(b‖x + gap): a's rate at the null's point closest to (a, b).

    The restricted estimate of two rates at a given difference (Miettinen and Nurminen 1985, Statistics in Medicine
    4:213), whose cubic has a closed solution (Farrington and Manning 1990, ibid. 9:1447); two Newton steps fix what
    rounding took.
    """
    if gap == 0.0:
        return (n_a * a + n_b * b) / (n_a + n_b)
    low, high = max(0.0, -gap), min(1.0, 1.0 - gap)
    x = min(max(_cubic(a, b, n_b / n_a, gap), low + 1e-12), high - 1e-12)
    for _ in range(60):
        y = x + gap
        not_x, not_y = 1.0 - x, 1.0 - y
        slope = n_a * (x - a) / (x * not_x) + n_b * (y - b) / (y * not_y)
        if slope > 0.0:
            high = x
        else:
            low = x
        bend = n_a * (a / (x * x) + (1.0 - a) / (not_x * not_x)) + n_b * (b / (y * y) + (1.0 - b) / (not_y * not_y))
        step = slope / bend
        if -1e-11 < step < 1e-11:
            break
        x -= step
        if not low < x < high:
            x = (low + high) / 2.0
    return x


def _cubic(a: float, b: float, ratio: float, gap: float) -> float:
    """The root of the likelihood's cubic that lies inside the scale; `ratio` is n_b / n_a."""
    three_a = 3.0 * (1.0 + ratio)
    second = -(1.0 + ratio + a + ratio * b - gap * (ratio + 2.0))
    third = gap * gap - gap * (2.0 * a + ratio + 1.0) + a + ratio * b
    fourth = a * gap * (1.0 - gap)
    shift = second / three_a
    radius = math.sqrt(max(shift * shift - third / three_a, 0.0))
    if radius == 0.0:
        return -shift
    twist = shift**3 - 1.5 * second * third / (three_a * three_a) + 1.5 * fourth / three_a
    radius = math.copysign(radius, twist)
    angle = (math.pi + math.acos(min(max(twist / radius**3, -1.0), 1.0))) / 3.0
    return 2.0 * radius * math.cos(angle) - shift


class TwoArm(ABC):
    """Evidence against "b − a is at least `gap`" from blocks of outcomes; see the two tests below."""

    def __init__(self, gap: float, weights: Sequence[float]) -> None:
        if not -1.0 < gap < 1.0:
            raise InputError(f"a difference of {gap} cannot be tested", cure="give one between −1 and 1")
        self.gap = gap
        self.counts = [0.0, 0.0, 0.0, 0.0]  # in closed blocks: a good, a bad, b good, b bad
        self.pending = [0.0, 0.0, 0.0, 0.0]
        self.information = 0.0
        self.wealth = [math.log(weight) for weight in weights]
        self.log_e_value = 0.0  # of the evidence in closed blocks
        self.peak = 0.0  # of the log e-value

    @abstractmethod
    def alternatives(self, a: float, b: float, n_a: float, n_b: float) -> list[tuple[float, float]]:
        """(a, b) pairs outside the null, from the rates seen so far and their weights."""

    def take(self, first: int, score: float) -> None:
        """Count one unit's score (`first`: 0 of a, 2 of b) and close the block when it is due."""
        pending = self.pending
        pending[first] += score
        pending[first + 1] += 1.0 - score
        n_a, n_b = pending[0] + pending[1], pending[2] + pending[3]
        if n_a and n_b and n_a * n_b >= CLOSE_AT * self.information * (n_a + n_b):
            self._close(n_a, n_b)

    def take_block(self, a_good: float, a_bad: float, b_good: float, b_bad: float) -> None:
        """Count what a whole block holds and close it: for those who know when it is due (`block_is_due`)."""
        self.pending = [a_good, a_bad, b_good, b_bad]
        self._close(a_good + a_bad, b_good + b_bad)

    def _close(self, n_a: float, n_b: float) -> None:
        a_good, a_bad, b_good, b_bad = self.pending
        seen, wealth, gap, log = self.counts, self.wealth, self.gap, math.log
        all_a, all_b = seen[0] + seen[1] + 1.0, seen[2] + seen[3] + 1.0
        a, b = (seen[0] + 0.5) / all_a, (seen[2] + 0.5) / all_b
        for index, (alt_a, alt_b) in enumerate(self.alternatives(a, b, all_a, all_b)):
            null_a = projection(alt_a, alt_b, n_a, n_b, gap) if gap else (n_a * alt_a + n_b * alt_b) / (n_a + n_b)
            null_b = null_a + gap
            wealth[index] += (
                a_good * log(alt_a / null_a)
                + a_bad * log((1.0 - alt_a) / (1.0 - null_a))
                + b_good * log(alt_b / null_b)
                + b_bad * log((1.0 - alt_b) / (1.0 - null_b))
            )
        self.counts = [seen[0] + a_good, seen[1] + a_bad, seen[2] + b_good, seen[3] + b_bad]
        self.pending = [0.0, 0.0, 0.0, 0.0]
        self.information += n_a * n_b / (n_a + n_b)
        self._weigh()
        self.peak = max(self.peak, self.log_e_value)

    def _weigh(self) -> None:
        top = max(self.wealth)
        self.log_e_value = top + math.log(sum([math.exp(value - top) for value in self.wealth]))

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
        super().__init__(-beyond, [1.0 / len(HARM_LOGITS)] * len(HARM_LOGITS))

    def update(self, arm: Arm, score: float) -> float:
        """Take one unit's score, in order of first exposure, and give the e-value after it."""
        self.take(0 if arm == "live" else 2, score)
        return self.e_value

    def alternatives(self, a: float, b: float, n_a: float, n_b: float) -> list[tuple[float, float]]:
        """Candidates whose odds are lower by fixed factors than what `beyond` allows, around the pooled rate."""
        gap, share = self.gap, n_b / (n_a + n_b)
        pooled = (1.0 - share) * _logit(a) + share * _logit(min(max(b - gap, 1e-4), 1.0 - 1e-4))
        least = 1e-4 - min(gap, 0.0)
        pairs = []
        for step, odds in zip(HARM_LOGITS, HARM_ODDS, strict=True):
            live = min(max(1.0 / (1.0 + math.exp(-pooled - share * step)), least), 1.0 - 1e-6)
            allowed = min(max(live + gap, 1e-6), 1.0 - 1e-6)
            pairs.append((live, allowed / (allowed + odds * (1.0 - allowed))))
        return pairs

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> TwoArmHarm:
        """The sequence that `state()` described."""
        return cls(-state["gap"])._load(state)


class TwoArmNonInferior(TwoArm):
    """Proves that the candidate is worse than live by less than `margin`."""

    def __init__(self, margin: float) -> None:
        super().__init__(margin, EQUAL_WEIGHTS)  # a: candidate, b: live; null: live − candidate ≥ margin

    def update(self, arm: Arm, score: float) -> float:
        """Take one unit's score, in order of first exposure, and give the e-value after it."""
        self.take(2 if arm == "live" else 0, score)
        return self.e_value

    def alternatives(self, a: float, b: float, n_a: float, n_b: float) -> list[tuple[float, float]]:
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


def block_is_due(n_a: float, n_b: float, information: float) -> bool:
    """Whether a block of n_a and n_b units is closed after blocks that held so much information."""
    return bool(n_a and n_b) and n_a * n_b >= CLOSE_AT * information * (n_a + n_b)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
