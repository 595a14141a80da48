"""Does a release fail more often than usual, now? Every request counts at once, and a long good past does not. Pure."""

from __future__ import annotations

from flyball.statistics.detectors import RateRise

LEAST_FAILURE_RATE = 0.02
"""A release is not called failing for a rate below this, however rarely the one before it failed."""
RUN_LENGTH = 100_000.0
"""Requests to a false alarm, in the mean and at least, at the usual rate. One time-out, or two, is no evidence."""
REPEAT_MS = 60_000
"""A unit's failures count once in so long when others are answered: a prompt that always fails is no outage."""
_MAX_UNITS = 10_000


class OutageWatch:
    """The failures of one arm, request by request, as they come."""

    def __init__(self, usual: float) -> None:
        self.detector = RateRise(min(0.9, max(LEAST_FAILURE_RATE, usual)), RUN_LENGTH)
        self.last_ms = 0  # when the last request began
        self._seen = 0
        self._failed: dict[
            str, tuple[int, int]
        ] = {}  # unit → when its failure was counted, and after how many requests
        self._answered = ("", 0)  # the unit answered last, and after how many requests
        self._answered_other = 0  # the same of the last unit but that one

    @property
    def alarm(self) -> bool:
        """Whether the release fails more often than usual now."""
        return self.detector.alarm

    @property
    def since_ms(self) -> int | None:
        """When the first failure of the present burst began."""
        return self.detector.began

    def take(self, unit: str, failed: bool, at_ms: int) -> None:
        """Take one request in."""
        self._seen += 1
        self.last_ms = max(self.last_ms, at_ms)
        if not failed:
            if unit != self._answered[0]:
                self._answered_other = self._answered[1]
            self._answered = (unit, self._seen)
            self.detector.update(False, at_ms)
        elif not self._repeats(unit, at_ms):
            if len(self._failed) >= _MAX_UNITS:
                self._failed.clear()
            self._failed[unit] = (at_ms, self._seen)
            self.detector.update(True, at_ms)

    def take_answered(self, count: int) -> None:
        """Take so many answered requests of other units in at once."""
        self._seen += count
        if count:
            self._answered_other = self._answered[1]
            self._answered = ("", self._seen)
        self.detector.update_zeros(count)

    def _repeats(self, unit: str, at_ms: int) -> bool:
        """Whether this unit's failure was counted a while ago and somebody else has been answered since."""
        counted = self._failed.get(unit)
        if counted is None or at_ms - counted[0] >= REPEAT_MS:
            return False
        others = self._answered_other if self._answered[0] == unit else self._answered[1]
        return others > counted[1]
