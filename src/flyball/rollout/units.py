"""One sticky unit of one arm, from its first request until it is frozen: what it is worth on every measure. Pure.

Requests of one user are not independent of each other, units are; so a unit has one score per measure, however often
it asked. What never came is None and counts for nothing there: silence is not negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyball.records import Feedback, RequestRecord

GAVE_UP_MS = 10_000
"""A client that leaves after so long without a word has run out of patience: that is a failure."""
MAX_REQUESTS_PER_UNIT = 200
_NOT_THE_RELEASE = frozenset({401, 402, 403, 404, 429})
"""Refusals with these statuses say something about the caller, not about the release."""


@dataclass(slots=True)
class Unit:
    """A sticky unit in one arm, until it is judged. At most 200 requests are kept; failures are counted on."""

    first_ms: int
    failed: bool = False
    blocked: bool = False
    requests: list[str] = field(default_factory=list)  # answered or failed
    failures: set[str] = field(default_factory=set)
    times_ms: list[float] = field(default_factory=list)  # infinite for a failure
    cost_usd: float = 0.0

    def add(self, record: RequestRecord) -> None:
        """Take in a request."""
        failed = is_failure(record)
        self.failed = self.failed or failed
        self.blocked = self.blocked or is_blocked(record)
        if record.outcome == "refused" or len(self.requests) >= MAX_REQUESTS_PER_UNIT:
            return
        self.requests.append(record.id)
        self.cost_usd += record.cost_usd
        if failed:
            self.failures.add(record.id)
            self.times_ms.append(math.inf)
        elif record.outcome == "ok":
            self.times_ms.append(record.total_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitScores:
    """A frozen unit on every measure; 1 is good and 0 bad where no unit is named, None where nothing is known."""

    failures: float  # 1: no request failed
    blocked: float = 1.0  # 1: no request was refused by a guardrail, a filter or the engine
    latency_ms: float | None = None  # median over its requests of the time to the whole answer; a failure takes for ever
    cost_usd: float | None = None  # mean per request
    feedback: float | None = None  # share of its rated answers that were not called bad
    quality: float | None = None  # mean verdict on its answers, an answer that failed being worth nothing
    sampled: bool = False  # its answers were to be judged


def is_failure(record: RequestRecord) -> bool:
    """Whether a request counts against the arm it was assigned to; a client's own mistake or goodbye does not.

    The gateway records what another arm had to answer as an error of the arm that should have.
    """
    if record.outcome in ("error", "cut"):
        return True
    return record.outcome == "aborted" and record.first_token_ms is None and record.total_ms >= GAVE_UP_MS


def is_blocked(record: RequestRecord) -> bool:
    """Whether the release would not answer: its guardrail or its engine refused, or a filter cut the answer."""
    if record.outcome == "refused":
        return 400 <= record.status < 500 and record.status not in _NOT_THE_RELEASE
    return record.finish_reason == "content_filter"


def is_negative(feedback: Feedback) -> bool:
    """Whether somebody said that the answer was bad."""
    return feedback.score < 0.5 if feedback.score is not None else feedback.has_correction


def is_verdict(feedback: Feedback) -> bool:
    """Whether it is the judgement of a sampled request, and not a user's word."""
    return getattr(feedback, "judge", None) is not None


def scores_of(
    unit: Unit, said: Mapping[str, Sequence[Feedback]], *, until_ms: int, in_sample: bool | None
) -> UnitScores:
    """The scores of a unit at its freezing; of what was said of a request, the last word until then counts.

    `in_sample`: whether its answers are judged. (None, for now: whoever says nothing is content, as before.)
    """
    ratings, verdicts = [], []
    for request in unit.requests:
        words = [one for one in said.get(request, ()) if one.at_ms <= until_ms]
        users = [one for one in words if not is_verdict(one) and (one.score is not None or one.has_correction)]
        judged = [one for one in words if is_verdict(one)]
        if users:
            ratings.append(0.0 if is_negative(users[-1]) else 1.0)
        if judged and request not in unit.failures:
            verdicts.append(_verdict(judged[-1]))
    feedback = sum(ratings) / len(ratings) if ratings else None
    quality = _quality(unit, verdicts) if in_sample else None
    if in_sample is None:
        quality = float(not unit.failed and 0.0 not in ratings)
    return UnitScores(
        failures=float(not unit.failed),
        blocked=float(not unit.blocked),
        latency_ms=sorted(unit.times_ms)[(len(unit.times_ms) - 1) // 2] if unit.times_ms else None,
        cost_usd=unit.cost_usd / len(unit.requests) if unit.requests else None,
        feedback=feedback,
        quality=quality,
        sampled=bool(in_sample) and bool(unit.requests),
    )


def _verdict(feedback: Feedback) -> float:
    if feedback.score is None:
        return 0.0 if feedback.has_correction else 1.0
    return min(1.0, max(0.0, feedback.score))


def _quality(unit: Unit, verdicts: Sequence[float]) -> float | None:
    """The mean verdict over all its answers, as if those without one were like the others; failed ones are worth 0."""
    failed, asked = len(unit.failures), len(unit.requests)
    if verdicts:
        return sum(verdicts) / len(verdicts) * (asked - failed) / asked
    return 0.0 if asked and failed == asked else None
