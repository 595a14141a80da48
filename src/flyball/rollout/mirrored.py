"""Evidence of a shadow: each mirrored request against the live one that it copies, one score per unit. Pure.

A unit's first pair gives its scores, in [0, 1] with one half for "the same": failures (1 + shadow − live) / 2, and time
and cost as shadow / (shadow + live), where both answered. Means of such scores are tested by betting, which may be
looked at after every unit (Waudby-Smith and Ramdas 2024, JRSS B 86:1, §5). That users are unhappy cannot be seen here:
nobody saw the answers, so a shadow is never enough to go live.
"""

from __future__ import annotations

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.machine import Mirrored
from flyball.rollout.units import is_failure
from flyball.statistics.sequences import MeanAbove, MeanBelow

SAME = 0.5
MAX_UNITS = 200_000


class MirroredEvidence:
    """What is known of one deployment's mirrored requests."""

    def __init__(self, config: RolloutConfig) -> None:
        within = {
            "failures": SAME + config.margin_failures / 2,
            "latency": _score_of(1.0 + config.margin_latency),
            "cost": _score_of(1.0 + config.margin_cost),
        }
        # a failure more is harm as such; slower or dearer only beyond the margin: a copy is never asked quite the same
        self.harm = {name: MeanAbove(SAME if name == "failures" else most) for name, most in within.items()}
        self.not_worse = {name: MeanBelow(most) for name, most in within.items()}
        self.requests = self.failures = self.live_failures = self.first_ten_failures = 0
        self.cost_usd = 0.0
        self._units: set[str] = set()

    def paid(self, shadow: RequestRecord) -> None:
        """Count the cost of a mirrored request, which was there before anything can be compared with it."""
        self.cost_usd += shadow.cost_usd

    def take(self, shadow: RequestRecord, live: RequestRecord) -> None:
        """Compare a mirrored request with the one that was answered; one that either engine refused says nothing."""
        if "refused" in (shadow.outcome, live.outcome):
            return
        failed, live_failed = is_failure(shadow), is_failure(live)
        self.requests += 1
        self.failures += failed
        self.live_failures += live_failed
        self.first_ten_failures += failed and self.requests <= 10
        if shadow.unit in self._units or len(self._units) >= MAX_UNITS:
            return
        self._units.add(shadow.unit)
        self._score("failures", (1 + failed - live_failed) / 2)
        if not failed and not live_failed:
            self._compare("latency", shadow.total_ms - shadow.queue_ms, live.total_ms - live.queue_ms)
            self._compare("cost", shadow.cost_usd, live.cost_usd)

    def _compare(self, name: str, shadow: float, live: float) -> None:
        if shadow + live > 0:
            self._score(name, shadow / (shadow + live))

    def _score(self, name: str, score: float) -> None:
        self.harm[name].update(score)
        self.not_worse[name].update(score)

    @property
    def units(self) -> int:
        """Units of which a pair was compared."""
        return len(self._units)

    def summary(self) -> Mirrored:
        """What the machine looks at; measures without any score are left out."""
        return Mirrored(
            requests=self.requests,
            failures=self.failures,
            live_failures=self.live_failures,
            first_ten_failures=self.first_ten_failures,
            units=self.units,
            cost_usd=self.cost_usd,
            harm={name: test.p_value for name, test in self.harm.items() if test.n},
            not_worse={name: test.p_value for name, test in self.not_worse.items() if test.n},
        )


def _score_of(ratio: float) -> float:
    """The score of a shadow that needs `ratio` times what live needs."""
    return ratio / (1.0 + ratio)
