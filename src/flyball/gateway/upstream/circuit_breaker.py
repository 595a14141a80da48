"""One endpoint for one model: whether it may be asked now, and whether it is the one to ask. Pure.

What one request meets says little about a server's health, so that failures are told apart:

- no connection: certain. After three in a row nobody asks for a while, then one request at a time tries.
- a reset or a time-out: likely. After three in a row only who has no other choice asks.
- 5xx: it may be the request. After three in a row others are asked first, and nobody is kept away.
- 429, 529, and 503 with Retry-After: load, not illness. Others are asked first until the time that was given.
- any other odd answer: nothing.

An endpoint that has answered any request within the last second is not ill, except where no connection can be made.
"""

from __future__ import annotations

from typing import Final

FAILURES_TO_OPEN: Final = 3
PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 4.0
ANSWERING_S: Final = 1.0
MAX_LOAD_S: Final = 3600.0
CLOSED: Final = 0
DOUBTED: Final = 1
AVOIDED: Final = 2
OPEN: Final = 3
_UNREACHABLE: Final = "connect"
_LIKELY: Final = frozenset({"dropped", "first token", "total", "stall"})


class CircuitBreaker:
    """What is known of one endpoint for one model. No pause is longer than `longest_s`."""

    __slots__ = ("answered_at", "cause", "failures", "longest_s", "not_before", "pauses", "state", "trial", "until")

    def __init__(self, longest_s: float = MAX_PAUSE_S) -> None:
        self.longest_s = min(longest_s, MAX_PAUSE_S)
        self.state = CLOSED
        self.until = 0.0
        self.trial = False
        """A request tries whether it answers again."""
        self.not_before = 0.0
        self.cause = ""
        """Why it is not asked, or not first."""
        self.failures = 0
        self.pauses = 0
        self.answered_at = 0.0

    def usable(self, now: float, *, patient: bool) -> bool:
        """Whether a request may be sent; `patient`: nobody else could answer it."""
        return self.state <= DOUBTED or (patient and self.state == AVOIDED) or self._due(now)

    def rank(self, now: float) -> int:
        """Who is asked first: 0 what answers, then what has too much to do, then what fails."""
        failing = 0 if self.state == CLOSED or self._due(now) else self.state
        return failing * 2 + (now < self.not_before)

    def _due(self, now: float) -> bool:
        """Whether the pause is over, and nobody tries yet."""
        return now >= self.until and not self.trial

    def taken(self) -> None:
        """A request is sent; the first after a pause is the trial that decides."""
        self.trial = self.until > 0

    def succeeded(self, now: float) -> None:
        """It answered, whatever it said."""
        self.answered_at = now
        if self.failures:
            self._close()

    def limited(self, until: float) -> None:
        """It has too much to do until then."""
        self.not_before = max(self.not_before, until)
        self._tried()

    def failed(self, kind: str, cause: str, now: float) -> int:
        """Take in a failure; the state where that begins, or begins again, because of it, else CLOSED."""
        if kind == _UNREACHABLE:
            state = OPEN
        elif now - self.answered_at < ANSWERING_S:
            return CLOSED
        elif kind in _LIKELY:
            state = AVOIDED
        elif kind.startswith("status 5"):
            state = DOUBTED
        else:
            self._tried()
            return CLOSED
        self.failures += 1
        if self.failures < FAILURES_TO_OPEN and not self.trial:
            return CLOSED
        self.state, self.cause = state if self.trial else max(self.state, state), cause
        self.until = now + min(PAUSE_S * 2.0 ** min(self.pauses, 8), self.longest_s)
        self.pauses += 1
        return self.state

    def _tried(self) -> None:
        """What an attempt met says nothing of its health, except that it answers."""
        if self.trial and self.state >= AVOIDED:
            self._close()

    def _close(self) -> None:
        self.state, self.until, self.failures, self.pauses, self.cause = CLOSED, 0.0, 0, 0, ""
        self.trial = False  # however long its answer goes on
