"""Evidence of a rollout, unit by unit: one score per sticky unit, judged at equal age in both arms. Pure.

A unit is good when none of its requests failed and the last feedback on each is not negative; silence is not negative.
It is judged once, `judge_after_s` after its first request, in order of first exposure, and never again: so the
sequences may be looked at after every unit. Failures have sequences of their own.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.records import Feedback, RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.machine import ArmCounts
from flyball.statistics.intervals import clopper_pearson
from flyball.statistics.sequences import Arm, BernoulliAbove, SampleRatio, TwoArmHarm, TwoArmNonInferior

ROUTING_LAG_MS = 1000
"""Gateways follow a new table within this: a unit first seen earlier says nothing about how units are split."""
GAVE_UP_MS = 10_000
"""A client that leaves after so long without a word has run out of patience: that is a failure."""
MAX_UNITS = 200_000
"""Units remembered per deployment; evidence is complete long before."""
MAX_REQUESTS_PER_UNIT = 200
LEAST_FAILURE_RATE = 0.02
"""A release is not called failing for a rate below this, however rarely the one before it failed."""


@dataclass(slots=True)
class Unit:
    """A sticky unit in one arm, until it is judged."""

    first_ms: int
    failed: bool = False
    requests: list[str] = field(default_factory=list)


def is_failure(record: RequestRecord) -> bool:
    """Whether a request counts against the arm it was assigned to; a client's own mistake or goodbye does not.

    The gateway records what another arm had to answer as an error of the arm that should have.
    """
    if record.outcome in ("error", "cut"):
        return True
    return record.outcome == "aborted" and record.first_token_ms is None and record.total_ms >= GAVE_UP_MS


def is_negative(feedback: Feedback) -> bool:
    """Whether somebody said that the answer was bad."""
    return feedback.score < 0.5 if feedback.score is not None else feedback.has_correction


class Evidence:
    """What is known of one deployment's traffic against the release that was live when it began."""

    def __init__(
        self, *, candidate: str, live: str | None, config: RolloutConfig, failure_rate_before: float = 0.0
    ) -> None:
        self.candidate, self.live, self.config = candidate, live, config
        self.shares: list[tuple[int, float]] = []  # when each ramp step began, and its share
        self.counts: dict[Arm, dict[str, int]] = {arm: dict.fromkeys(ArmCounts.__slots__, 0) for arm in _ARMS}
        self.first_ten_failures = 0
        self.last_ten: deque[tuple[bool, int]] = deque(maxlen=10)
        self.harm = {name: TwoArmHarm() for name in _MEASURES}
        self.not_worse = {name: TwoArmNonInferior(config.margin) for name in _MEASURES}
        self.failing = BernoulliAbove(min(0.9, max(LEAST_FAILURE_RATE, failure_rate_before)))
        self.ratios: dict[int, SampleRatio] = {}
        self._waiting: dict[tuple[Arm, str], Unit] = {}
        self._queue: list[tuple[int, tuple[Arm, str]]] = []
        self._judged: set[tuple[Arm, str]] = set()
        self._known: set[str] = set()

    def take(self, records: Iterable[RequestRecord]) -> None:
        """Count requests, in the ledger's order; those of other deployments and refused ones say nothing."""
        for record in records:
            arm = self._arm_of(record)
            if arm is not None and record.outcome != "refused":
                self._count(arm, record)

    def _arm_of(self, record: RequestRecord) -> Arm | None:
        if record.deployment == self.candidate:
            return "candidate"
        began = self.shares[0][0] if self.shares else None
        return "live" if began is not None and record.deployment == self.live and record.started_ms >= began else None

    def _count(self, arm: Arm, record: RequestRecord) -> None:
        failed = is_failure(record)
        counts = self.counts[arm]
        counts["requests"] += 1
        counts["failures"] += failed
        if arm == "candidate":
            self.first_ten_failures += failed and counts["requests"] <= 10
            self.last_ten.append((failed, record.started_ms))
        self._expose(arm, record)
        key = (arm, record.unit)
        if key in self._judged or (key not in self._waiting and len(self._judged) >= MAX_UNITS):
            return
        unit = self._waiting.get(key)
        if unit is None:
            unit = self._waiting[key] = Unit(first_ms=record.started_ms)
            heapq.heappush(self._queue, (record.started_ms, key))
        unit.failed = unit.failed or failed
        if len(unit.requests) < MAX_REQUESTS_PER_UNIT:
            unit.requests.append(record.id)

    def _expose(self, arm: Arm, record: RequestRecord) -> None:
        """Count a unit's first exposure for the sample ratio of the ramp step that it fell into."""
        if record.unit in self._known or len(self._known) >= MAX_UNITS:
            return
        self._known.add(record.unit)
        step = max((n for n, (at_ms, _) in enumerate(self.shares) if at_ms <= record.started_ms), default=None)
        if step is None or record.started_ms < self.shares[step][0] + ROUTING_LAG_MS:
            return
        share = self.shares[step][1]
        if 0.0 < share < 1.0:
            ratio = self.ratios.setdefault(step, SampleRatio(share))
            ratio.update(canary=int(arm == "candidate"), live=int(arm == "live"))

    def due(self, now_ms: int) -> list[tuple[Arm, str]]:
        """Take out the units old enough to be judged, in order of first exposure; each must then be judged."""
        limit, due = now_ms - round(self.config.judge_after_s * 1000), []
        while self._queue and self._queue[0][0] <= limit:
            due.append(heapq.heappop(self._queue)[1])
        return due

    def requests_of(self, key: tuple[Arm, str]) -> list[str]:
        """The requests of a unit that waits."""
        return self._waiting[key].requests

    def judge(self, keys: Iterable[tuple[Arm, str]], said: Mapping[str, Sequence[Feedback]]) -> None:
        """Judge units for good; `said` has the feedback of their requests, oldest first."""
        for key in keys:
            unit = self._waiting.pop(key)
            self._judged.add(key)
            until = unit.first_ms + round(self.config.judge_after_s * 1000)
            last = [[one for one in said.get(request, ()) if one.at_ms <= until][-1:] for request in unit.requests]
            negative = any(is_negative(one) for each in last for one in each)
            self._score(key[0], failed=unit.failed, good=not unit.failed and not negative)

    def _score(self, arm: Arm, *, failed: bool, good: bool) -> None:
        counts = self.counts[arm]
        counts["units"] += 1
        counts["good"] += good
        counts["failed_units"] += failed
        if arm == "candidate":
            self.failing.update(float(failed))
        for name, positive in (("quality", good), ("failures", not failed)):
            self.harm[name].update(arm, positive)
            self.not_worse[name].update(arm, positive)

    @property
    def last_ten_failures(self) -> int:
        """Failures among the candidate's last ten requests."""
        return sum(failed for failed, _ in self.last_ten)

    @property
    def failing_since_ms(self) -> int | None:
        """When the first of the failures among the last ten began."""
        return min((at_ms for failed, at_ms in self.last_ten if failed), default=None)

    @property
    def sample_ratio(self) -> float:
        """Anytime-valid p-value over all ramp steps together."""
        return min(1.0, min((ratio.p_value for ratio in self.ratios.values()), default=1.0) * max(1, len(self.ratios)))

    def arm(self, name: Arm) -> ArmCounts:
        """The counts of one arm."""
        return ArmCounts(**self.counts[name])


def failure_rate_bound(failures: int, requests: int) -> float:
    """The upper 95 % bound on how often a release failed; 0 where there was no traffic."""
    return clopper_pearson(failures, requests, 0.9)[1] if requests else 0.0


_ARMS: tuple[Arm, ...] = ("candidate", "live")
_MEASURES = ("quality", "failures")
