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
Said = Mapping[str, Sequence[Feedback]]
"""What was said of each request, oldest first."""
_NOT_THE_RELEASE = frozenset({401, 402, 403, 404, 429})
"""Refusals with these statuses say something about the caller, not about the release."""


@dataclass(slots=True)
class Unit:
    """A sticky unit in one arm, until it is frozen. At most 200 requests are kept; failures are counted on."""

    first_ms: int
    frozen_ms: int
    failed: bool = False
    faltered: bool = False
    blocked: bool = False
    requests: list[str] = field(default_factory=list)  # all but refused ones
    answered: list[str] = field(default_factory=list)  # by its own arm, to the end
    times_ms: list[float] = field(default_factory=list)  # until it was answered or failed
    failures: int = 0  # among the requests kept
    cost_usd: float = 0.0

    def add(self, record: RequestRecord) -> None:
        """Take in a request."""
        failed = is_failure(record)
        self.failed = self.failed or failed
        self.faltered = self.faltered or has_faltered(record)
        self.blocked = self.blocked or is_blocked(record)
        if record.outcome == "refused" or len(self.requests) >= MAX_REQUESTS_PER_UNIT:
            return
        self.requests.append(record.id)
        self.cost_usd += record.cost_usd
        self.failures += failed
        if record.outcome == "ok":
            self.answered.append(record.id)
        if failed or record.outcome == "ok":
            self.times_ms.append(record.total_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitScores:
    """A frozen unit; 1 is good and 0 bad where no unit of measure is named, None where nothing is known."""

    failures: float  # 1: no request failed, and none needed a further attempt
    blocked: float = 1.0  # 1: no request was refused by a guardrail, a filter or the engine
    latency_ms: float | None = None  # median over its requests of the time to the whole answer, or to its failure
    cost_usd: float | None = None  # mean per request
    feedback: float | None = None  # share of its rated answers that were not called bad


def ended_ms(record: RequestRecord) -> int:
    """When a request had been answered, or had failed."""
    return record.started_ms + math.ceil(record.total_ms)


def is_failure(record: RequestRecord) -> bool:
    """Whether a request counts against the arm it was assigned to; a client's own mistake or goodbye does not.

    The gateway records what another arm had to answer as an error of the arm that should have.
    """
    if record.outcome in ("error", "cut"):
        return True
    return record.outcome == "aborted" and record.first_token_ms is None and record.total_ms >= GAVE_UP_MS


_NEVER_ASKED = frozenset({"overloaded", "drained", "unavailable", "withdrawn"})
"""Why a request ended without a word from the engine of the release that was to answer instead."""


def failed_alike(record: RequestRecord) -> bool:
    """Whether the release that was asked instead failed at the same request too: that is no evidence against either."""
    reason, both, other = (record.error or "").rpartition(";")
    failed = record.outcome in ("error", "cut") and both and other not in _NEVER_ASKED
    return bool(failed) and reason.startswith("fallback:")


def has_faltered(record: RequestRecord) -> bool:
    """Whether the release failed at a request, were it only at a first attempt: a retry helps the client, not it."""
    return is_failure(record) or record.attempts > 1


def says_nothing(record: RequestRecord) -> bool:
    """Whether a request was refused for what its caller did, or may not do."""
    return record.outcome == "refused" and not is_blocked(record)


def is_blocked(record: RequestRecord) -> bool:
    """Whether the release would not answer: its guardrail or its engine refused, or a filter cut the answer."""
    if record.outcome == "refused":
        return 400 <= record.status < 500 and record.status not in _NOT_THE_RELEASE
    return record.finish_reason == "content_filter"


def is_negative(feedback: Feedback) -> bool:
    """Whether somebody said that the answer was bad."""
    return feedback.score < 0.5 if feedback.score is not None else feedback.has_correction


def is_rating(feedback: Feedback) -> bool:
    """Whether it is a user's word for or against an answer."""
    return feedback.judge is None and (feedback.score is not None or feedback.has_correction)


def is_verdict(feedback: Feedback) -> bool:
    """Whether it is the judgement of a sampled answer, and not a user's word."""
    return feedback.judge is not None and feedback.score is not None


def verdict_of(words: Sequence[Feedback], *, until_ms: int) -> float | None:
    """The last verdict on one answer until then, in [0, 1]; None: there was none."""
    verdicts = [one for one in words if one.at_ms <= until_ms and is_verdict(one)]
    return min(1.0, max(0.0, verdicts[-1].score or 0.0)) if verdicts else None


def scores_of(unit: Unit, said: Said, *, until_ms: int) -> UnitScores:
    """The scores of a unit when it is frozen; of what users said of an answer, the last word until then counts."""
    ratings = []
    for request in unit.requests:
        words = [one for one in said.get(request, ()) if one.at_ms <= until_ms and is_rating(one)]
        if words:
            ratings.append(0.0 if is_negative(words[-1]) else 1.0)
    return UnitScores(
        failures=float(not unit.faltered),
        blocked=float(not unit.blocked),
        latency_ms=sorted(unit.times_ms)[(len(unit.times_ms) - 1) // 2] if unit.times_ms else None,
        cost_usd=unit.cost_usd / len(unit.requests) if unit.requests else None,
        feedback=sum(ratings) / len(ratings) if ratings else None,
    )


def quality_of(unit: Unit, said: Said, *, until_ms: int) -> float | None:
    """The mean verdict on a sampled unit's answers, its failures being worth nothing; None: none came in time."""
    if not unit.answered:
        return 0.0 if unit.failures else None
    heard = [verdict_of(said.get(request, ()), until_ms=until_ms) for request in unit.answered]
    verdicts = [verdict for verdict in heard if verdict is not None]
    if not verdicts:
        return None
    kept = len(unit.answered) / (len(unit.answered) + unit.failures)
    return kept * sum(verdicts) / len(verdicts)
