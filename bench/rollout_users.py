"""Made-up users of a rollout: what each unit is worth on every measure, in order of first exposure.

A unit is assigned by a coin to the canary (10 %) or to live. `Case` says what the two releases are like and how users
behave; the base quality is .8 of the units, failed ones included.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SHARE = 0.1
BASE_QUALITY = 0.8
TYPICAL_MS = 800.0
TYPICAL_USD = 0.002
UNITS_PER_S = 10.0
TIMEOUT_S = 60.0
FREEZE_S, VERDICT_S = 30.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What one release is like."""

    quality: float = BASE_QUALITY
    failures: float = 0.01
    slower: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Both releases, and how their users behave."""

    candidate: Release = field(default_factory=Release)
    live: Release = field(default_factory=Release)
    unhappy_answer_more: float = 1.0  # how much more often the unhappy rate an answer
    heavy_tailed: bool = False  # many requests per user, alike for the same user
    late: bool = False  # bad verdicts, bad ratings and failures take longer to arrive
    margin_failures: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """One value per unit; NaN where nothing is known."""

    canary: np.ndarray
    failures: np.ndarray  # 1: none of its requests failed
    blocked: np.ndarray
    latency_ms: np.ndarray
    cost_usd: np.ndarray
    feedback: np.ndarray
    quality: np.ndarray
    answered: np.ndarray  # it got an answer that could be judged
    failed_requests: np.ndarray
    requests: np.ndarray


def draw(case: Case, dice: np.random.Generator, units: int) -> Users:
    """So many units, in the order in which they are frozen."""
    canary = dice.random(units) < SHARE
    requests = _requests(case, dice, units)
    failed = _events(case, dice, _by_arm(canary, case.candidate.failures, case.live.failures), requests)
    blocked = _events(case, dice, np.full(units, 0.01), requests)
    happy_rate = _happy_rate(case, dice, canary)
    happy = dice.random(units) < happy_rate
    answered = failed < requests
    kept = (requests - failed) / requests
    verdict_in_time = ~_late(case, dice, happy, VERDICT_S, 40.0, 100.0)
    quality = np.where(answered, np.where(verdict_in_time, happy * kept, np.nan), 0.0)
    feedback = _feedback(case, dice, happy_rate, requests)
    noise = 0.25 + (0.25 / requests if case.heavy_tailed else 0.0)
    slower = _by_arm(canary, case.candidate.slower, case.live.slower)
    users = Users(
        canary=canary,
        failures=(failed == 0).astype(float),
        blocked=(blocked == 0).astype(float),
        latency_ms=TYPICAL_MS * slower * np.exp(np.sqrt(noise) * dice.standard_normal(units)),
        cost_usd=TYPICAL_USD * np.exp(0.8 * dice.standard_normal(units)),
        feedback=feedback,
        quality=quality,
        answered=answered,
        failed_requests=failed,
        requests=requests,
    )
    return _in_order_of_arrival(users) if case.late else users


def _by_arm(canary: np.ndarray, candidate: float, live: float) -> np.ndarray:
    return np.where(canary, candidate, live)


def _requests(case: Case, dice: np.random.Generator, units: int) -> np.ndarray:
    """Requests per unit: one, or Pareto with tail 1.2, so that a few users make most of the traffic."""
    if not case.heavy_tailed:
        return np.ones(units, dtype=np.int64)
    return np.minimum(200, (1.0 - dice.random(units)) ** (-1.0 / 1.2)).astype(np.int64)


def _events(case: Case, dice: np.random.Generator, rate: np.ndarray, requests: np.ndarray) -> np.ndarray:
    """How many of a unit's requests it happens to; alike for the same user (intraclass correlation .2) if heavy."""
    if case.heavy_tailed:
        rate = dice.beta(4.0 * rate, 4.0 * (1.0 - rate))
        return dice.binomial(requests, rate)
    return (dice.random(len(rate)) < rate).astype(np.int64)


def _happy_rate(case: Case, dice: np.random.Generator, canary: np.ndarray) -> np.ndarray:
    """How likely each unit is content with an answer; the mean over units, failures included, is the quality."""
    candidate, live = (min(1.0, one.quality / (1.0 - one.failures)) for one in (case.candidate, case.live))
    rate = _by_arm(canary, candidate, live)
    return dice.beta(4.0 * rate, 4.0 * (1.0 - rate)) if case.heavy_tailed else rate


def _feedback(case: Case, dice: np.random.Generator, happy_rate: np.ndarray, requests: np.ndarray) -> np.ndarray:
    """Share of good ratings of each unit; three in ten answers of the content are rated."""
    good = dice.binomial(requests, happy_rate)
    bad = requests - good
    rated_good = dice.binomial(good, 0.3 * _in_time(case, 5.0))
    rated_bad = dice.binomial(bad, 0.3 * case.unhappy_answer_more * _in_time(case, 15.0))
    rated = rated_good + rated_bad
    return np.where(rated > 0, rated_good / np.maximum(rated, 1), np.nan)


def _in_time(case: Case, mean_s: float) -> float:
    return 1.0 - float(np.exp(-FREEZE_S / mean_s)) if case.late else 1.0


def _late(
    case: Case, dice: np.random.Generator, happy: np.ndarray, window_s: float, good_s: float, bad_s: float
) -> np.ndarray:
    if not case.late:
        return np.zeros(len(happy), dtype=bool)
    return dice.exponential(np.where(happy, good_s, bad_s)) > window_s


def _in_order_of_arrival(users: Users) -> Users:
    """A failure is a time-out, so that its record comes a minute after those of units that asked with it."""
    place = np.arange(len(users.canary)) / UNITS_PER_S + np.where(users.failures < 1.0, TIMEOUT_S - FREEZE_S, 0.0)
    order = np.argsort(place, kind="stable")
    return Users(**{name: getattr(users, name)[order] for name in Users.__slots__})
