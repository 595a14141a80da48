"""Evidence of a rollout, unit by unit: frozen at equal age in both arms, in order of first exposure. Pure.

A unit is frozen `judge_after_s` after its first request, once and for good; the verdicts on a sampled unit's answers
count until `judge_within_s`. So the tests of measures.py may be looked at after every unit. What a unit is worth is in
units.py; failures are also watched request by request (outages.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from flyball.records import JSON, RequestRecord
from flyball.rollout.comparable_failures import Kind, LiveByKind, kind_of
from flyball.rollout.config import RolloutConfig
from flyball.rollout.measures import Measures, Test
from flyball.rollout.observation import ArmCounts
from flyball.rollout.outages import OutageWatch
from flyball.rollout.units import Said, Unit, ended_ms, failed_alike, is_failure, quality_of, says_nothing, scores_of
from flyball.rollout.validity_checks import Responses, doubts_of, ratio_figures, trusted_harm
from flyball.statistics.intervals import clopper_pearson
from flyball.statistics.sequences import Arm, SampleRatio

ROUTING_LAG_MS = 1000
"""Gateways follow a new table within this: a unit first seen earlier says nothing about how units are split."""
MAX_UNITS = 200_000
"""Units remembered per deployment; evidence is complete long before."""


class Due(NamedTuple):
    """A unit of one arm that is to be frozen, or whose verdicts are."""

    arm: Arm
    unit: str
    what: Literal["unit", "verdict"] = "unit"


class Evidence:
    """What is known of one deployment's traffic against the release that was live when it began.

    `in_sample` says whether a unit's answers are judged: promotion on quality rests on these alone.
    """

    def __init__(
        self,
        *,
        candidate: str,
        live: str | None,
        config: RolloutConfig,
        in_sample: Callable[[str], bool],
        failure_rate_before: float = 0.0,
    ) -> None:
        self.candidate, self.live, self.config, self.in_sample = candidate, live, config, in_sample
        self.shares: list[tuple[int, float]] = []  # when each ramp step began, and its share
        self.counts: dict[Arm, dict[str, int]] = {arm: dict.fromkeys(ArmCounts.__slots__, 0) for arm in _ARMS}
        self.live_by_kind = LiveByKind()
        self._first_ten: list[tuple[Kind, int]] = []  # of the candidate's first ten requests that failed: what, when
        self._bursting: dict[Kind, int] = {}  # the same of its failures since the present burst began, by kind
        self.measures = Measures(config)
        self.watches: dict[Arm, OutageWatch] = {arm: OutageWatch(failure_rate_before) for arm in _ARMS}
        self.ratios: dict[int, SampleRatio] = {}
        self.responses = {"judged": Responses("judged answers", self.measures.quality)}
        self.responses["feedback"] = Responses("feedback", self.measures.feedback)
        self._waiting: dict[Due, Unit] = {}
        self._queue: list[tuple[int, Due]] = []  # when it is due
        self._judged: set[tuple[Arm, str]] = set()
        self._known: set[str] = set()

    def take(self, records: Iterable[RequestRecord]) -> None:
        """Count requests, in the ledger's order; those of other deployments, forced and mirrored ones say nothing."""
        for record in records:
            arm = self._arm_of(record)
            if arm is not None and not (record.mirrors or record.forced or says_nothing(record)):
                self._count(arm, record)

    def _arm_of(self, record: RequestRecord) -> Arm | None:
        if record.deployment == self.candidate:
            return "candidate"
        began = self.shares[0][0] if self.shares else None
        return "live" if began is not None and record.deployment == self.live and record.started_ms >= began else None

    def _count(self, arm: Arm, record: RequestRecord) -> None:
        if record.outcome != "refused":
            failed = is_failure(record)
            counts = self.counts[arm]
            counts["requests"] += 1
            counts["failures"] += failed
            counts["retried"] += record.attempts > 1 and not failed
            if arm == "live":
                self.live_by_kind.take(record, failed)
            self._watch(arm, record, failed)
        self._expose(arm, record)
        if (arm, record.unit) not in self._judged and len(self._judged) < MAX_UNITS:
            self._join(arm, record)

    def _watch(self, arm: Arm, record: RequestRecord, failed: bool) -> None:
        """What acts at once looks at every request but those that the other release failed at too."""
        if failed and failed_alike(record):
            return
        watch = self.watches[arm]
        watch.take(record.unit, failed, record.started_ms)
        if arm == "live":
            return
        if watch.since_ms is None:
            self._bursting.clear()
        if failed:
            kind = kind_of(record)
            self._bursting.setdefault(kind, record.started_ms)
            if self.counts[arm]["requests"] <= 10:
                self._first_ten.append((kind, record.started_ms))

    @property
    def first_ten_failures(self) -> int:
        """How many of the candidate's first ten requests failed, of kinds that live does not fail at."""
        return sum(not self.live_by_kind.fails_at(kind, at_ms) for kind, at_ms in self._first_ten)

    def _join(self, arm: Arm, record: RequestRecord) -> None:
        """Add a request to its unit, unless it ended after the unit was frozen: it would depend on when one looks."""
        key, ended = Due(arm, record.unit), ended_ms(record)
        unit = self._waiting.get(key)
        if unit is None:
            frozen = max(record.started_ms + self._window_ms("unit"), ended)
            unit = Unit(first_ms=record.started_ms, frozen_ms=frozen)
            self._await(frozen, key, unit)
            if self.in_sample(record.unit):
                heard = max(record.started_ms + self._window_ms("verdict"), frozen)
                self._await(heard, Due(arm, record.unit, "verdict"), unit)
        if ended <= unit.frozen_ms:
            unit.add(record)

    def _await(self, due_ms: int, key: Due, unit: Unit) -> None:
        self._waiting[key] = unit
        heapq.heappush(self._queue, (due_ms, key))

    def _window_ms(self, what: str) -> int:
        after_s = self.config.judge_after_s
        return round(1000 * (after_s if what == "unit" else max(after_s, self.config.judge_within_s)))

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

    def due(self, now_ms: int) -> list[Due]:
        """Take out what is old enough to be frozen, in order of first exposure; each must then be judged."""
        due = []
        while self._queue and self._queue[0][0] <= now_ms:
            due.append(heapq.heappop(self._queue)[1])
        return due

    def requests_of(self, key: Due) -> list[str]:
        """The requests of a unit that is due, on which something may have been said."""
        unit = self._waiting[key]
        return unit.answered if key.what == "verdict" else unit.requests

    def judge(self, keys: Iterable[Due], said: Said) -> None:
        """Freeze units, or the verdicts on them, for good; `said` has all feedback on their requests, oldest first."""
        for key in keys:
            unit = self._waiting.pop(key)
            until = max(unit.first_ms + self._window_ms(key.what), unit.frozen_ms)
            if key.what == "unit":
                self._freeze(key, unit, said, until)
            else:
                self._hear(key.arm, unit, said, until)

    def _freeze(self, key: Due, unit: Unit, said: Said, until_ms: int) -> None:
        self._judged.add((key.arm, key.unit))
        scores = scores_of(unit, said, until_ms=until_ms)
        counts = self.counts[key.arm]
        content = not unit.failed and scores.feedback in (None, 1.0)
        counts["units"] += 1
        counts["good"] += content
        counts["failed_units"] += unit.failed
        self.measures.update(key.arm, scores)
        if unit.requests:
            self.responses["feedback"].update(key.arm, scores.feedback is not None)

    def _hear(self, arm: Arm, unit: Unit, said: Said, until_ms: int) -> None:
        quality = quality_of(unit, said, until_ms=until_ms)
        if unit.answered:
            self.responses["judged"].update(arm, quality is not None)
        if quality is not None:
            self.measures.quality.update(arm, quality)

    @property
    def harm(self) -> Mapping[str, Test]:
        """Proofs of harm, of the measures that both arms have."""
        return trusted_harm(self.measures, self.responses["feedback"])

    @property
    def not_worse(self) -> Mapping[str, Test]:
        """Proofs of being at most the margin worse, of every measure that promotion needs."""
        return self.measures.not_worse

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the figures cannot be trusted, each a reason to pause."""
        return doubts_of(self.ratios, self.responses.values())

    @property
    def figures(self) -> Mapping[str, JSON]:
        """What the evidence of a transition shows: counts, estimates, p-values, what could have been missed."""
        return {
            "measures": self.measures.figures(),
            "sample_ratio": ratio_figures(self.ratios),
            "responses": {name: one.figures() for name, one in self.responses.items() if one.asked},
        }

    @property
    def outage(self) -> bool:
        """Whether the candidate's requests fail more often than usual now, and live's do not at the same time.

        Nor at the same kinds of request.
        """
        candidate, live = self.watches["candidate"], self.watches["live"]
        if not candidate.alarm or (live.alarm and live.last_ms >= (candidate.since_ms or 0)):
            return False
        bursting = self._bursting.items()
        return not bursting or any(not self.live_by_kind.fails_at(kind, at_ms) for kind, at_ms in bursting)

    @property
    def failing_since_ms(self) -> int | None:
        """When the first failure of the candidate's present burst began."""
        return self.watches["candidate"].since_ms

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
