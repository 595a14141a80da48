"""Watching for a change for ever: e-detectors, whose false alarms are stated as a run length, not as a probability.

Shin, Ramdas and Rinaldo 2024 (New England J. Statistics in Data Science 2:229): M ← (M + 1)·L, with L the likelihood
ratio of an alternative, is an e-detector of Shiryaev–Roberts type; so is any weighted mean of such. The mean number of
outcomes until M first reaches A is at least A while nothing has changed, whatever came before: a long good past does
not slow it, because M forgets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from flyball.errors import InputError

GRID = (0.1, 0.3, 0.6, 0.9)
"""Alternatives, as the share of the way from the usual rate to one."""
MOST = 1e300


class RateRise:
    """Watches outcomes of 0 or 1 for "ones come more often than `usual`"; alarms at `run_length`.

    The mean number of outcomes to a false alarm is at least `run_length` for any rate up to `usual`. A change to
    nothing but ones is seen after 4 of them at a usual rate of 2 %, after 6 at 10 % (`run_length` 100,000).
    """

    def __init__(self, usual: float, run_length: float = 100_000.0) -> None:
        if not 0.0 < usual < 1.0 or run_length <= 1.0:
            raise InputError(f"a usual rate of {usual} cannot be watched", cure="give one strictly between 0 and 1")
        self.usual, self.run_length = usual, run_length
        rates = [usual + way * (1.0 - usual) for way in GRID]
        self._ones = [rate / usual for rate in rates]
        self._zeros = [(1.0 - rate) / (1.0 - usual) for rate in rates]
        self.parts = [0.0] * len(GRID)
        self.value = 0.0
        self.alarm = False
        self.began: int | None = None
        self._burst = 1.0

    def update(self, one: bool, at: int = 0) -> bool:
        """Take one outcome that happened `at` (a time, in any unit); whether there is an alarm.

        The alarm stays until the evidence has fallen to a hundredth of its threshold. `began` is the time of the first
        one of the present burst: the maximum of the likelihood over the time of change (Page 1954, Biometrika 41:100).
        """
        factors = self._ones if one else self._zeros
        self.parts = [min((part + 1.0) * factor, MOST) for part, factor in zip(self.parts, factors, strict=True)]
        self.value = sum(self.parts) / len(GRID)
        if one and (self._burst <= 1.0 or self.began is None):
            self.began = at
        self._burst = min(max(self._burst, 1.0) * factors[2], MOST)
        if self._burst < 1.0:
            self.began = None
        if self.value >= self.run_length:
            self.alarm = True
        elif self.value < self.run_length / 100.0:
            self.alarm = False
        return self.alarm

    def update_zeros(self, count: int) -> bool:
        """Take so many outcomes of 0 at once: M becomes M·zⁿ + z + z² + … + zⁿ."""
        if not count:
            return self.alarm
        kept = [zero**count for zero in self._zeros]
        self.parts = [
            part * rest + zero * (1.0 - rest) / (1.0 - zero)
            for part, rest, zero in zip(self.parts, kept, self._zeros, strict=True)
        ]
        self.value = sum(self.parts) / len(GRID)
        burst = max(self._burst, 1.0) * kept[2]
        if burst < 1.0:
            self.began = None
        self._burst = burst if burst >= self._zeros[2] else self._zeros[2]
        if self.value < self.run_length / 100.0:
            self.alarm = False
        return self.alarm

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {
            "usual": self.usual,
            "run_length": self.run_length,
            "parts": list(self.parts),
            "alarm": self.alarm,
            "began": self.began,
            "burst": self._burst,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The detector that `state()` described."""
        detector = cls(state["usual"], state["run_length"])
        detector.parts = list(state["parts"])
        detector.value = sum(detector.parts) / len(GRID)
        detector.alarm, detector.began, detector._burst = state["alarm"], state["began"], state["burst"]
        return detector
