"""What makes the figures of a rollout untrustworthy: a wrong split, or answers that one arm gives more often. Pure.

A doubt pauses; it never rolls back and never promotes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flyball.records import JSON
from flyball.rollout.measures import Measures, Shares, Test
from flyball.rollout.state_machine import RATIO_ALPHA
from flyball.statistics.intervals import Interval
from flyball.statistics.missing import ResponseRates, worst_case_difference, worst_case_mean
from flyball.statistics.sample_ratio import SampleRatio
from flyball.statistics.two_arm import Arm

RESPONSE_ALPHA = 0.005
"""Of each test that both arms answer equally often, over the whole rollout."""
_ARMS: tuple[Arm, ...] = ("candidate", "live")


class Responses:
    """Of those who were asked, how many answered, and what the silent ones could hide."""

    def __init__(self, what: str, measure: Shares) -> None:
        self.what, self.measure = what, measure
        self.rates = ResponseRates()

    def update(self, arm: Arm, answered: bool) -> None:
        """Take one unit that was asked."""
        self.rates.update(arm, answered)

    @property
    def asked(self) -> int:
        """Units of both arms that were asked."""
        return sum(self.rates.asked.values())

    @property
    def differ(self) -> bool:
        """Whether one arm is proven to answer less often."""
        return self.rates.p_value <= RESPONSE_ALPHA

    @property
    def worst_case(self) -> Interval:
        """Where the difference of the means lies, candidate − live, whatever the silent ones would have said."""
        candidate, live = (self._bounds(arm) for arm in _ARMS)
        return worst_case_difference(candidate, live)

    def _bounds(self, arm: Arm) -> Interval:
        measure, rates = self.measure, self.rates
        silent = rates.asked[arm] - rates.answered[arm]
        return worst_case_mean(measure.totals[arm], measure.units[arm], measure.units[arm] + silent)

    def doubt(self) -> str:
        """The doubt in words."""
        (candidate, live), (low, high) = (self._rate(arm) for arm in _ARMS), self.worst_case
        return (
            f"{self.what} came from {candidate:.0%} of the canary's units and {live:.0%} of live's; whatever the "
            f"others would have said, the candidate is between {_points(low)} and {_points(high)} points better"
        )

    def _rate(self, arm: Arm) -> float:
        return self.rates.answered[arm] / self.rates.asked[arm] if self.rates.asked[arm] else 0.0

    def figures(self) -> dict[str, JSON]:
        """Rates of both arms, the test that they are the same, and the worst-case bounds of the difference."""
        rates = self.rates
        arms: dict[str, JSON] = {arm: {"asked": rates.asked[arm], "answered": rates.answered[arm]} for arm in _ARMS}
        bounds = [round(bound, 4) for bound in self.worst_case]
        return {**arms, "p_differ": float(f"{self.rates.p_value:.3g}"), "worst_case_difference": bounds}


def trusted_harm(measures: Measures, feedback: Responses) -> dict[str, Test]:
    """Proofs of harm. Feedback is none while one arm gives it more often than the other: that is a doubt."""
    found = measures.harm
    if feedback.differ:
        found.pop("feedback", None)
    return found


def doubts_of(ratios: Mapping[int, SampleRatio], responses: Iterable[Responses]) -> tuple[str, ...]:
    """All doubts, in words."""
    alpha = RATIO_ALPHA / max(1, len(ratios))
    wrong = [(step, ratio) for step, ratio in sorted(ratios.items()) if ratio.rejects(alpha)]
    splits = [
        f"the canary has {ratio.canary} of {ratio.canary + ratio.live} units at step {step + 1}, not {ratio.share:.0%}"
        for step, ratio in wrong
    ]
    return (*splits, *(one.doubt() for one in responses if one.differ))


def ratio_figures(ratios: Mapping[int, SampleRatio]) -> list[JSON]:
    """The split of each ramp step, and the loss of canary units that it excludes and that it would have found."""
    alpha = RATIO_ALPHA / max(1, len(ratios))
    return [
        {
            "step": step,
            "share": ratio.share,
            "canary": ratio.canary,
            "live": ratio.live,
            "p": float(f"{ratio.p_value:.3g}"),
            "loss_excluded_above": round(ratio.excluded_loss(alpha), 3),
            "loss_found_with_power_80": round(ratio.detectable_loss(alpha), 3),
        }
        for step, ratio in sorted(ratios.items())
    ]


def _points(difference: float) -> str:
    return f"{100 * difference:+.0f}"
