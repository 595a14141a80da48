"""Answers that never came: what they could hide, and whether one arm has more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flyball.statistics.intervals import Interval
from flyball.statistics.two_arm import Arm, TwoArmHarm


def worst_case_mean(total: float, answered: int, asked: int) -> Interval:
    """Where the mean score in [0, 1] of all who were asked lies, whatever the silent ones would have said.

    Horowitz and Manski 2000 (JASA 95:77); no assumption on why somebody is silent. (0, 1) when nobody was asked.
    """
    if not asked:
        return 0.0, 1.0
    return total / asked, (total + asked - answered) / asked


def worst_case_difference(candidate: Interval, live: Interval) -> Interval:
    """Where candidate − live lies, from the bounds of both."""
    return candidate[0] - live[1], candidate[1] - live[0]


class ResponseRates:
    """Proves at any time that one arm's units answer less often than the other's; two one-sided exact tests."""

    def __init__(self) -> None:
        self.less, self.more = TwoArmHarm(), TwoArmHarm()
        self.asked: dict[Arm, int] = {"candidate": 0, "live": 0}
        self.answered: dict[Arm, int] = {"candidate": 0, "live": 0}

    def update(self, arm: Arm, answered: bool) -> None:
        """Take one unit that was asked."""
        self.asked[arm] += 1
        self.answered[arm] += answered
        self.less.update(arm, answered)
        self.more.update(arm, not answered)

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value against "both answer equally often": the mean of both e-values, at its best."""
        return min(1.0, 2.0 * math.exp(-max(self.less.peak, self.more.peak)))

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {
            "less": self.less.state(),
            "more": self.more.state(),
            "asked": dict(self.asked),
            "answered": dict(self.answered),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> ResponseRates:
        """The tests that `state()` described."""
        rates = cls()
        rates.less, rates.more = TwoArmHarm.restore(state["less"]), TwoArmHarm.restore(state["more"])
        rates.asked, rates.answered = dict(state["asked"]), dict(state["answered"])
        return rates
