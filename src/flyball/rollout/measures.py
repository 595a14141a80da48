"""The measures of a rollout: each with its test of harm and its proof of being no worse than live by the margin. Pure.

All tests are e-processes: they may be looked at after every unit, ramp steps only change which arm the next unit joins,
and nothing is ever restarted. Harm is looked at with α/m over the m measures, proofs with α each (machine.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flyball.records import JSON
from flyball.rollout.config import RolloutConfig
from flyball.rollout.units import UnitScores
from flyball.statistics.intervals import wilson
from flyball.statistics.two_arm import Arm, TwoArmHarm, TwoArmNonInferior
from flyball.statistics.two_arm_means import RatioBelow
from flyball.statistics.two_arm_quantiles import QuantileBelow, QuantileHistogram, cells_of

BURN_IN = 20
"""Units of live before costs are compared: their mean, and the canary's, sets the cap; they are not scored."""
CAP = 5.0
"""A unit's cost counts up to so many times the mean of the burn-in, in both arms (winsorised), so it is bounded."""


class Test(Protocol):
    """Evidence for a claim, at any time."""

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value."""


class Shares:
    """A measure whose scores are 1 (good), 0 (bad) or between: exact tests of two means (two_arm.py)."""

    def __init__(self, margin: float | None) -> None:
        self.margin = margin
        self.harm = TwoArmHarm()
        self.not_worse = None if margin is None else TwoArmNonInferior(margin)
        self.units: dict[Arm, int] = {"candidate": 0, "live": 0}
        self.totals: dict[Arm, float] = {"candidate": 0.0, "live": 0.0}

    def update(self, arm: Arm, score: float) -> None:
        """Take one unit's score."""
        self.units[arm] += 1
        self.totals[arm] += score
        self.harm.take(0 if arm == "live" else 2, score)
        if self.not_worse is not None:
            self.not_worse.take(2 if arm == "live" else 0, score)

    def figures(self) -> dict[str, JSON]:
        """Means and their 95 % score intervals, for the eye; decisions are the tests'."""
        return {"margin": self.margin, **{arm: self._arm(arm) for arm in self.units}}

    def _arm(self, arm: Arm) -> dict[str, JSON]:
        units, total = self.units[arm], self.totals[arm]
        low, high = wilson(round(total), units)
        return {
            "units": units,
            "mean": _short(total / units) if units else None,
            "interval": [_short(low), _short(high)],
        }


class Latency:
    """A quantile of the units' times: the candidate's against `1 + margin` times live's, for harm and for its absence.

    Slower than live is not harm as such: two engines are never equally warm nor equally loaded, and requests that are
    near in time are slow together. On equal engines (bench/equals.py) a test at 1 stops one canary in twenty.
    """

    def __init__(self, quantile: float, margin: float) -> None:
        self.quantile, self.margin = quantile, margin
        width = cells_of(1.0 + margin)[0]
        self.times: dict[Arm, QuantileHistogram] = {
            "candidate": QuantileHistogram(quantile, width),
            "live": QuantileHistogram(quantile, width),
        }
        self.eased = QuantileHistogram(quantile, width)  # the candidate's times over `1 + margin`
        self.harm = QuantileBelow(quantile)
        self.not_worse = QuantileBelow(quantile, 1.0 + margin)

    @property
    def units(self) -> Mapping[Arm, int]:
        """Units with a time."""
        return {"candidate": self.times["candidate"].total, "live": self.times["live"].total}

    def update(self, arm: Arm, time_ms: float) -> None:
        """Take one unit's time."""
        candidate, live = self.times["candidate"], self.times["live"]
        self.times[arm].add(time_ms)
        is_live = arm == "live"
        if not is_live:
            self.eased.add(time_ms / self.not_worse.factor)
        self.harm.take(self.eased, live, 1 if is_live else 0)
        self.not_worse.take(live, candidate, 0 if is_live else 1)

    def figures(self) -> dict[str, JSON]:
        """The quantile of both arms in milliseconds, to the width of a cell."""
        arms: dict[str, JSON] = {
            arm: {"units": times.total, "ms": _short(times.quantile)} for arm, times in self.times.items()
        }
        return {"quantile": self.quantile, "margin": self.margin, **arms}


class Cost:
    """The mean cost per request of a unit, winsorised: the candidate's against live's and `1 + margin` times live's."""

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self.cap_usd = 0.0  # unknown until the burn-in is over
        self.harm = RatioBelow()
        self.not_worse = RatioBelow(1.0 + margin)
        self.units: dict[Arm, int] = {"candidate": 0, "live": 0}
        self.totals: dict[Arm, float] = {"candidate": 0.0, "live": 0.0}
        self._burnt = [0, 0, 0.0]  # units of live, of both, and what they cost

    def update(self, arm: Arm, cost_usd: float) -> None:
        """Take one unit's cost."""
        if not self.cap_usd:
            self._burn_in(arm, cost_usd)
            return
        score = min(cost_usd / self.cap_usd, 1.0)
        self.units[arm] += 1
        self.totals[arm] += score * self.cap_usd
        is_live = arm == "live"
        self.harm.update(0 if is_live else 1, score)
        self.not_worse.update(1 if is_live else 0, score)

    def _burn_in(self, arm: Arm, cost_usd: float) -> None:
        burnt = self._burnt
        burnt[0] += arm == "live"
        burnt[1] += 1
        burnt[2] += cost_usd
        if burnt[0] >= BURN_IN and burnt[2] > 0.0:
            self.cap_usd = CAP * burnt[2] / burnt[1]

    def figures(self) -> dict[str, JSON]:
        """Means of the winsorised cost, and the cap."""
        arms: dict[str, JSON] = {
            arm: {"units": units, "usd": _short(self.totals[arm] / units) if units else None}
            for arm, units in self.units.items()
        }
        return {"margin": self.margin, "cap_usd": _short(self.cap_usd), "burn_in_units": self._burnt[1], **arms}


class Measures:
    """All six, fed one frozen unit at a time."""

    def __init__(self, config: RolloutConfig) -> None:
        self.failures = Shares(config.margin_failures)
        self.blocked = Shares(config.margin_blocked)
        self.latency = Latency(config.latency_quantile, config.margin_latency)
        self.cost = Cost(config.margin_cost)
        self.feedback = Shares(None)
        self.quality = Shares(config.margin)
        self.by_name: dict[str, Shares | Latency | Cost] = {
            "failures": self.failures,
            "blocked": self.blocked,
            "latency": self.latency,
            "cost": self.cost,
            "feedback": self.feedback,
            "quality": self.quality,
        }

    def update(self, arm: Arm, scores: UnitScores) -> None:
        """Take one frozen unit in, in order of first exposure; verdicts come later, to `quality`."""
        self.failures.update(arm, scores.failures)
        self.blocked.update(arm, scores.blocked)
        if scores.latency_ms is not None:
            self.latency.update(arm, scores.latency_ms)
        if scores.cost_usd is not None:
            self.cost.update(arm, scores.cost_usd)
        if scores.feedback is not None:
            self.feedback.update(arm, scores.feedback)

    @property
    def harm(self) -> dict[str, Test]:
        """Proofs of harm, of the measures of which both arms have units; m of α/m is how many these are."""
        return {name: measure.harm for name, measure in self.by_name.items() if _compared(measure)}

    @property
    def not_worse(self) -> dict[str, Test]:
        """Proofs of being within the margin. Feedback never promotes; quality must be judged to be proven.

        Where nothing costs anything, cost need not be proven.
        """
        required = {"failures", "blocked", "latency", "quality"}
        return {
            name: measure.not_worse
            for name, measure in self.by_name.items()
            if measure.not_worse is not None and (name in required or _compared(measure))
        }

    def figures(self) -> dict[str, JSON]:
        """What each measure shows, with its p-values."""
        found: dict[str, JSON] = {}
        for name, measure in self.by_name.items():
            if any(measure.units.values()):
                proof = {} if measure.not_worse is None else {"p_worse_by_margin": _short(measure.not_worse.p_value)}
                found[name] = {**measure.figures(), "p_harm": _short(measure.harm.p_value), **proof}
        return found


def _compared(measure: Shares | Latency | Cost) -> bool:
    units = measure.units
    return bool(units["candidate"] and units["live"])


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if value == value and abs(value) != float("inf") else None
