"""Evidence of a shadow: each mirrored request against the live one that it copies, one score per unit. Pure.

A unit's first pair gives its scores, in [0, 1] with one half for "the same": failures (1 + shadow − live) / 2, time and
cost as shadow / (shadow + live), where both answered, and of sampled units quality (1 + live − shadow) / 2 by the
verdicts on both answers, once and for good when their time is over. Means of such scores are tested by betting, which
may be looked at after every unit (Waudby-Smith and Ramdas 2024, JRSS B 86:1, §5). That users are unhappy cannot be seen
here: nobody saw the answers, so a shadow is never enough to go live.
"""

from __future__ import annotations

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.observation import Mirrored
from flyball.rollout.units import has_faltered, is_failure
from flyball.statistics.sequences import MeanAbove, MeanBelow

SAME = 0.5
_ANSWERS = ("failures", "quality")
MAX_UNITS = 200_000


class MirroredEvidence:
    """What is known of one deployment's mirrored requests."""

    def __init__(self, config: RolloutConfig) -> None:
        within = {
            "failures": SAME + config.margin_failures / 2,
            "latency": _score_of(1.0 + config.margin_latency),
            "cost": _score_of(1.0 + config.margin_cost),
        }
        if config.judge_share > 0:
            within["quality"] = SAME + config.margin / 2
        # worse answers are harm as such; slower or more expensive ones only beyond the margin: a copy differs a little
        self.harm = {name: MeanAbove(SAME if name in _ANSWERS else most) for name, most in within.items()}
        self.not_worse = {name: MeanBelow(most) for name, most in within.items()}
        self.requests = self.failures = self.live_failures = self.first_ten_failures = 0
        self.cost_usd = 0.0
        self.judged = 0
        self._verdicts = [0.0, 0.0]  # sums of the copies' and of their originals'
        self._units: set[str] = set()

    def paid(self, shadow: RequestRecord) -> None:
        """Count the cost of a mirrored request, which was there before anything can be compared with it."""
        self.cost_usd += shadow.cost_usd

    def take(self, shadow: RequestRecord, live: RequestRecord) -> bool:
        """Compare a mirrored request with the one that was answered; one that either engine refused says nothing.

        True for the first pair of its unit when both answered: these answers may be judged.
        """
        if "refused" in (shadow.outcome, live.outcome):
            return False
        failed, live_failed = is_failure(shadow), is_failure(live)
        self.requests += 1
        self.failures += failed
        self.live_failures += live_failed
        self.first_ten_failures += failed and not live_failed and self.requests <= 10
        if shadow.unit in self._units or len(self._units) >= MAX_UNITS:
            return False
        self._units.add(shadow.unit)
        faltered, live_faltered = has_faltered(shadow), has_faltered(live)  # a copy is tried once, live more often
        self._score("failures", (1 + faltered - live_faltered) / 2)
        if not (faltered or live_faltered):
            self._compare("latency", shadow.total_ms - shadow.queue_ms, live.total_ms - live.queue_ms)
            self._compare("cost", shadow.cost_usd, live.cost_usd)
        return shadow.outcome == live.outcome == "ok"

    def hear(self, shadow: float, live: float) -> None:
        """Take in the verdicts, from 0 to 1, on both answers of a pair."""
        self.judged += 1
        self._verdicts = [self._verdicts[0] + shadow, self._verdicts[1] + live]
        self._score("quality", (1 + live - shadow) / 2)

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
        """What the machine looks at: a measure without any score proves nothing, yet it is one of the m."""
        copies, originals = (total / self.judged if self.judged else None for total in self._verdicts)
        return Mirrored(
            requests=self.requests,
            failures=self.failures,
            live_failures=self.live_failures,
            first_ten_failures=self.first_ten_failures,
            units=self.units,
            cost_usd=self.cost_usd,
            judged=self.judged,
            quality=copies,
            live_quality=originals,
            harm={name: test.p_value for name, test in self.harm.items()} if self.requests else {},
            not_worse={name: test.p_value for name, test in self.not_worse.items() if test.n},
        )


def _score_of(ratio: float) -> float:
    """The score of a shadow that needs `ratio` times what live needs."""
    return ratio / (1.0 + ratio)
