"""A test that notices a change at any time, also after a long good past, and whose false alarms stay bounded for ever.

One e-process started at the first observation forgets slowly: what a good year has lost, a bad day cannot win back. So
a new one starts with every block, each with a weight fixed beforehand: block j gets 1/(j(j+1)), which sums to 1. The
weighted sum (those not started yet count with value 1) is an e-process itself, so it exceeds 1/α with probability at
most α, ever (a mixture over change times: Shin, Ramdas and Rinaldo 2024, "E-detectors"). Few starts are carried, spread
over the past as powers are: close together lately, far apart long ago; the others count as 0, which keeps the promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from flyball.statistics.sequences import BernoulliAbove, BernoulliBelow

BLOCK = 25
"""Observations between two starts: at most this many blur the moment of a change."""
KEPT = 8
"""Starts carried at once: bounds state and time."""

Direction = Literal["above", "below"]


class ChangeTest:
    """Against "the share of ones never rises above (falls below) `limit`"."""

    def __init__(self, limit: float, direction: Direction) -> None:
        self.limit, self.direction = limit, direction
        self.n = 0
        self._starts: list[tuple[int, int, BernoulliAbove | BernoulliBelow]] = []  # (block, first place, sequence)

    def update(self, outcome: bool, *, place: int) -> float:
        """Take one outcome, which stands at `place` in the ledger, and give the e-value after it."""
        if self.n % BLOCK == 0:
            self._start(place)
        self.n += 1
        started = sum(block_weight(block) * sequence.update(float(outcome)) for block, _, sequence in self._starts)
        return started + self._not_started

    @property
    def e_value(self) -> float:
        """Evidence now: 1 before anything was seen."""
        return sum(block_weight(block) * sequence.e_value for block, _, sequence in self._starts) + self._not_started

    @property
    def _not_started(self) -> float:
        """The weight of all blocks to come: Σ 1/(j(j+1)) from the next one on."""
        return 1.0 / (math.ceil(self.n / BLOCK) + 1)

    @property
    def suspected(self) -> tuple[int, int, int]:
        """Where the change seems to have begun: (place of its first observation, observations since, ones since)."""
        _, place, sequence = max(self._starts, key=_evidence)
        return place, sequence.n, round(sequence.total)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        starts = [[block, place, sequence.state()] for block, place, sequence in self._starts]
        return {"limit": self.limit, "direction": self.direction, "n": self.n, "starts": starts}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The test that `state()` described."""
        test = cls(state["limit"], state["direction"])
        test.n = state["n"]
        kind = _kind(test.direction)
        test._starts = [(block, place, kind.restore(inner)) for block, place, inner in state["starts"]]
        return test

    def _start(self, place: int) -> None:
        self._starts.append((self.n // BLOCK + 1, place, _kind(self.direction)(self.limit)))
        if len(self._starts) > KEPT:
            ages = [self.n + BLOCK - BLOCK * (block - 1) for block, _, _ in self._starts]
            best = max(range(len(self._starts)), key=lambda index: _evidence(self._starts[index]))
            del self._starts[dispensable(ages, best=best)]


def dispensable(ages: Sequence[int], *, best: int) -> int:
    """The start whose neighbours are closest together, seen from now; never the one with the most evidence."""
    inner = (index for index in range(1, len(ages) - 1) if index != best)
    return min(inner, key=lambda index: ages[index - 1] / ages[index + 1])


def block_weight(block: int) -> float:
    """The weight of the start at a block, from 1 on; all weights sum to 1."""
    return 1.0 / (block * (block + 1))


def _kind(direction: Direction) -> type[BernoulliAbove] | type[BernoulliBelow]:
    return BernoulliAbove if direction == "above" else BernoulliBelow


def _evidence(start: tuple[int, int, BernoulliAbove | BernoulliBelow]) -> float:
    block, _, sequence = start
    return block_weight(block) * sequence.e_value
