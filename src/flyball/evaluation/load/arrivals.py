"""When requests leave: a rate over time, and how evenly arrivals are spread around it (pure).

Intervals between arrivals are drawn at rate 1 and mapped through the inverse of the rate's integral, so that one law
serves steady rates, ramps and steps (time rescaling: Cinlar 1975, Introduction to Stochastic Processes, 4.7).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from flyball.errors import InputError

Spread = Literal["poisson", "constant", "gamma"]
MOST_REQUESTS = 20_000_000
"""Each outcome is kept in memory, 90 bytes or so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of time whose rate goes from one value to another in a straight line."""

    seconds: float
    first_rate: float
    last_rate: float

    @property
    def requests(self) -> float:
        """Requests that are expected in it."""
        return self.seconds * (self.first_rate + self.last_rate) / 2.0

    def moment(self, passed: float) -> float:
        """Seconds into the stage after which `passed` requests are expected."""
        slope = (self.last_rate - self.first_rate) / self.seconds
        root = math.sqrt(max(self.first_rate**2 + 2.0 * slope * passed, 0.0))
        return 2.0 * passed / (self.first_rate + root) if passed else 0.0


def steady(rate: float, seconds: float) -> tuple[Stage, ...]:
    """One rate for a time."""
    return (Stage(seconds=seconds, first_rate=rate, last_rate=rate),)


def overload(rate: float, factor: float, seconds: float) -> tuple[Stage, ...]:
    """A quarter of the time at a rate, a quarter at `factor` times it, then at the first rate again."""
    return (*steady(rate, seconds / 4), *steady(rate * factor, seconds / 4), *steady(rate, seconds / 2))


def arrivals(stages: Sequence[Stage], *, spread: Spread, shape: float = 1.0, seed: int = 1) -> Iterator[float]:
    """Seconds since the start at which requests leave, in order; InputError for a plan that is too large or empty.

    `shape`, of gamma: the squared coefficient of variation of intervals is 1/shape, so .25 is bursty, 1 is Poisson.
    """
    expected = math.fsum(stage.requests for stage in stages)
    if expected > MOST_REQUESTS:
        raise InputError(
            f"the plan has {expected:,.0f} requests, more than {MOST_REQUESTS:,}", cure="shorten it or lower the rate"
        )
    if not expected > 0.0 or shape <= 0.0:
        raise InputError("the plan has no requests", cure="give a rate, a duration and a burst shape above 0")
    interval = _intervals(spread, shape, random.Random(seed))
    return _moments(stages, interval, first=0.5 if spread == "constant" else interval())


def _intervals(spread: Spread, shape: float, draw: random.Random) -> Callable[[], float]:
    if spread == "constant":
        return lambda: 1.0
    if spread == "gamma":
        return lambda: draw.gammavariate(shape, 1.0 / shape)
    return lambda: draw.expovariate(1.0)


def _moments(stages: Sequence[Stage], interval: Callable[[], float], *, first: float) -> Iterator[float]:
    begun, passed = 0.0, first
    for stage in stages:
        while passed < stage.requests:
            yield begun + stage.moment(passed)
            passed += interval()
        passed -= stage.requests
        begun += stage.seconds
