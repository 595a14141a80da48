"""A test that notices a change in the mix of categories at any time, against a reference that has an error of its own.

Against "no share leaves what the reference allows": for each category of the reference, an e-process for "its share is
at most u" and one for "at least l", where [l, u] is the Clopper–Pearson interval of its count, or a margin where that
is wider. The mean of e-values is one (Vovk and Wang 2021, Annals of Statistics 49:1736), whatever hangs together. Half
of α pays for the intervals of all categories at once, half for the e-process: together at most α, over all of time. As
in `change_detection`, a start every BLOCK observations forgets a long good past.

What the categories are must be settled before the reference is counted, on other data: what was never seen among the
counted has a share that no binomial interval bounds.

Outcomes are counted by category and start; evidence is computed at the end of each block, from the counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from flyball.monitoring.change_detection import BLOCK, KEPT, Direction, block_weight, dispensable
from flyball.monitoring.monitor import NARROWEST
from flyball.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper
from flyball.statistics.sequences import GRID, mean_of_exponentials

LEAST = 100
"""A change is spoken of once it has lasted so many observations: what comes in a run of a few is no trend."""
OTHER = ""
"""Every category that the reference does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The category whose share moved most surely: since which place, in how many of how many observations."""

    category: str
    direction: Direction
    limit: float
    reference: float
    place: int
    n: int
    hits: int


@dataclass(slots=True)
class _Start:
    block: int
    place: int
    n: int
    hits: dict[str, int]
    log_e: float = 0.0


class MixTest:
    """Against "the mix is that of `reference` (counts)"; false with a probability of at most `alpha`, ever.

    A share that moved by less than `margin` is not looked for.
    """

    def __init__(self, reference: Mapping[str, int], *, margin: float, alpha: float) -> None:
        self.reference = {OTHER: 0, **reference}
        self.margin, self.alpha = margin, alpha
        self.n = 0
        self._total = sum(self.reference.values())
        self._limits = list(self._allowed())
        self._starts: list[_Start] = []

    @property
    def needed(self) -> float:
        """The e-value that is an alarm: the other half of α pays for the reference."""
        return 2.0 / self.alpha

    def update(self, category: str, *, place: int) -> float:
        """Take one outcome, which stands at `place` in the ledger; the e-value after the last whole block."""
        if self.n % BLOCK == 0:
            self._starts.append(_Start(self.n // BLOCK + 1, place, 0, {}))
            if len(self._starts) > KEPT:
                ages = [self.n + BLOCK - BLOCK * (start.block - 1) for start in self._starts]
                del self._starts[dispensable(ages, best=self._starts.index(self._best()))]
        self.n += 1
        known = category if category in self.reference else OTHER
        for start in self._starts:
            start.n += 1
            start.hits[known] = start.hits.get(known, 0) + 1
        if self.n % BLOCK == 0:
            for start in self._starts:
                if start.n >= LEAST:
                    start.log_e = mean_of_exponentials([_log_e(start, *limit) for limit in self._limits])
        return self.e_value

    @property
    def e_value(self) -> float:
        """Evidence after the last whole block: 1 before."""
        started = sum(_evidence(start) for start in self._starts)
        return started + 1.0 / (math.ceil(self.n / BLOCK) + 1)

    @property
    def moved(self) -> Moved:
        """What moved, seen from the start with the most evidence; asked for once there is an alarm."""
        start = self._best()
        name, direction, limit = max(self._limits, key=lambda one: _log_e(start, *one))
        return Moved(
            category=name,
            direction=direction,
            limit=limit,
            reference=self.reference[name] / self._total,
            place=start.place,
            n=start.n,
            hits=start.hits.get(name, 0),
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        starts = [[one.block, one.place, one.n, one.hits, one.log_e] for one in self._starts]
        return {
            "reference": self.reference,
            "margin": self.margin,
            "alpha": self.alpha,
            "n": self.n,
            "starts": starts,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The test that `state()` described."""
        test = cls(state["reference"], margin=state["margin"], alpha=state["alpha"])
        test.n = state["n"]
        test._starts = [_Start(*one) for one in state["starts"]]
        return test

    def _allowed(self) -> Iterator[tuple[str, Direction, float]]:
        """Every bound of a share that some share could still cross."""
        level = self.alpha / 2 / (2 * len(self.reference))
        for name, count in self.reference.items():
            share = count / self._total
            above = max(clopper_pearson_upper(count, self._total, level), share + self.margin)
            below = min(clopper_pearson_lower(count, self._total, level), share - self.margin)
            if above < 1.0 - NARROWEST:
                yield name, "above", above
            if below > NARROWEST:
                yield name, "below", below

    def _best(self) -> _Start:
        return max(self._starts, key=_evidence)


def _evidence(start: _Start) -> float:
    return block_weight(start.block) * math.exp(min(start.log_e, 600.0))


def _log_e(start: _Start, name: str, direction: Direction, limit: float) -> float:
    """Logarithm of the likelihood ratio of shares beyond a limit to the limit, averaged over a grid of them."""
    hits = start.hits.get(name, 0)
    if direction == "below":  # the mirror image: the share of all others is above 1 − limit
        hits, limit = start.n - hits, 1.0 - limit
    misses = start.n - hits
    rates = (limit + way * (1.0 - limit) for way in GRID)
    return mean_of_exponentials(
        [hits * math.log(rate / limit) + misses * math.log((1.0 - rate) / (1.0 - limit)) for rate in rates]
    )
