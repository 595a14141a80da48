"""When what ended may start again: after a pause that doubles while it keeps ending, and is short again after calm."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Pauses in seconds; who has lived for longer than `calm_s` begins with the first one again."""

    first_s: float = 0.1
    longest_s: float = 5.0
    calm_s: float = 10.0

    def pause_s(self, deaths: int) -> float:
        """The pause after so many deaths in a row, the first one being 1."""
        return min(self.longest_s, self.first_s * 2.0 ** min(deaths - 1, 60))


@dataclass(slots=True)
class Restarts:
    """One child's starts and deaths, by a monotonic clock that the caller reads."""

    policy: RestartPolicy = field(default_factory=RestartPolicy)
    began: float = 0.0
    deaths: int = 0

    def lives(self, now: float) -> None:
        """The child was seen alive."""
        if now - self.began > self.policy.calm_s:
            self.deaths = 0

    def may_start(self, now: float) -> bool:
        """Whether a child that has ended may start again by now."""
        return now - self.began >= self.policy.pause_s(self.deaths + 1)

    def starts(self, now: float, *, again: bool) -> None:
        """The child is started: for the first time, or again after a death."""
        self.began = now
        self.deaths += again
