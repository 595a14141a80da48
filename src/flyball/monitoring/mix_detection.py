"""A test that notices a change in the mix of categories at any time, against a reference that has an error of its own.

Against "every share p is in its interval [l, u]": the Clopper–Pearson interval of its count in the reference, or a
margin where that is wider. Half of α pays for all intervals at once, half for an e-process: together at most α, ever.

The e-process bets, block by block, on the mix q that its earlier blocks suggest: an outcome i multiplies it by q_i/p_i,
where p is the allowed mix nearest to q (least KL(q‖p)). No allowed mix gives that a mean above 1: p is q's reverse
information projection on a convex set (Grünwald, de Heide and Koolen 2024, "Safe testing", JRSS B 86:1091). While q
itself is allowed, nothing is bet. As in `change_detection`, a start every BLOCK observations forgets a long good past.

What the categories are must be settled before the reference is counted, on other data: what was never seen among the
counted has a share that no binomial interval bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from flyball.monitoring.change_detection import BLOCK, KEPT, Direction, dispensable
from flyball.monitoring.monitor import NARROWEST
from flyball.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper

LEAST = 100
"""A change is spoken of once it has lasted so many observations: what comes in a run of a few is no trend."""
OTHER = ""
"""Every category that the reference does not have."""
PRIOR = 100
"""The reference counts as so many observations in what a start suggests, so that chance in a few is not bet on."""
SPREAD = 100
"""Starts within so many blocks have about the same weight; later ones get less and less."""


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
    bets: Mapping[str, float] = field(default_factory=dict)  # logarithms; empty: nothing is bet


class MixTest:
    """Against "the mix is that of `reference` (counts)"; false with a probability of at most `alpha`, ever.

    A share that moved by less than `margin` is not looked for.
    """

    def __init__(self, reference: Mapping[str, int], *, margin: float, alpha: float) -> None:
        self.reference = {OTHER: 0, **reference}
        self.margin, self.alpha = margin, alpha
        self.n = 0
        self._total = sum(self.reference.values())
        self._bounds = list(self._allowed())
        self._prior = self._smoothed()
        self._starts: list[_Start] = []
        self._block: dict[str, int] = {}  # outcomes of the block that is not yet whole
        self._evidence = 1.0

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
        self._block[known] = self._block.get(known, 0) + 1
        if self.n % BLOCK == 0:
            for start in self._starts:
                self._take_block(start)
            self._block = {}
        if self.n % BLOCK in (0, 1):  # nothing moves it in between
            self._evidence = self._summed()
        return self._evidence

    @property
    def e_value(self) -> float:
        """Evidence after the last whole block: 1 before."""
        return self._evidence

    @property
    def moved(self) -> Moved:
        """What moved, seen from the start with the most evidence; asked for once there is an alarm."""
        start = self._best()
        crossed = [
            (_beyond(start.hits.get(name, 0) / max(1, start.n), direction, limit), name, direction, limit)
            for name, low, high in self._bounds
            for direction, limit in _limits(low, high)
        ]
        _, name, direction, limit = max(crossed, key=lambda one: one[0])
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
            "block": self._block,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The test that `state()` described."""
        test = cls(state["reference"], margin=state["margin"], alpha=state["alpha"])
        test.n = state["n"]
        test._starts = [_Start(*one) for one in state["starts"]]
        test._block = dict(state["block"])
        for start in test._starts:
            start.bets = test._bets(start)
        test._evidence = test._summed()
        return test

    def _allowed(self) -> Iterator[tuple[str, float, float]]:
        """The least and the largest share of each category."""
        level = self.alpha / 2 / (2 * len(self.reference))
        for name, count in self.reference.items():
            share = count / self._total
            high = max(clopper_pearson_upper(count, self._total, level), share + self.margin)
            low = min(clopper_pearson_lower(count, self._total, level), share - self.margin)
            yield name, low if low > NARROWEST else 0.0, high if high < 1.0 - NARROWEST else 1.0

    def _smoothed(self) -> list[float]:
        """PRIOR observations in the reference's mix; none of them has a share of 0 (Krichevsky and Trofimov 1981)."""
        whole = self._total + 0.5 * len(self.reference)
        return [PRIOR * (count + 0.5) / whole for count in self.reference.values()]

    def _take_block(self, start: _Start) -> None:
        if start.bets:
            start.log_e += sum(count * start.bets[name] for name, count in self._block.items())
        for name, count in self._block.items():
            start.hits[name] = start.hits.get(name, 0) + count
        start.n += BLOCK
        start.bets = self._bets(start)

    def _bets(self, start: _Start) -> Mapping[str, float]:
        """What each outcome of the next block adds to the logarithm of the evidence."""
        whole = start.n + PRIOR
        shares = [
            (start.hits.get(name, 0) + prior) / whole for name, prior in zip(self.reference, self._prior, strict=True)
        ]
        if all(low <= share <= high for share, (_, low, high) in zip(shares, self._bounds, strict=True)):
            return {}
        nearest = nearest_allowed(shares, [(low, high) for _, low, high in self._bounds])
        return {
            name: math.log(share / allowed)
            for name, share, allowed in zip(self.reference, shares, nearest, strict=True)
        }

    def _summed(self) -> float:
        """The starts by their weights; those to come count 1, those given up 0, young ones at most 1."""
        started = sum(_weight(start.block) * _exp(start.log_e if start.n >= LEAST else min(0.0, start.log_e))
                      for start in self._starts)  # fmt: skip
        return started + SPREAD / (SPREAD + math.ceil(self.n / BLOCK))

    def _best(self) -> _Start:
        return max(self._starts, key=lambda start: _weight(start.block) * _exp(start.log_e))


def _weight(block: int) -> float:
    """The weight of the start at a block, from 1 on; all weights sum to 1."""
    return SPREAD / ((block + SPREAD - 1) * (block + SPREAD))


def _exp(log: float) -> float:
    return math.exp(min(log, 600.0))


def nearest_allowed(shares: Sequence[float], bounds: Sequence[tuple[float, float]]) -> list[float]:
    """The p with least KL(shares‖p) within the bounds: shares/λ, cut to them, with the λ that makes the sum 1.

    λ is found by halving from the side where the sum is 1 or more: there the bets' mean is at most 1, exactly.
    """

    def cut(scale: float) -> list[float]:
        return [min(max(share / scale, low), high) for share, (low, high) in zip(shares, bounds, strict=True)]

    least = min(share / high for share, (_, high) in zip(shares, bounds, strict=True))
    most = max(2.0 * least, 1.0)
    while sum(cut(most)) >= 1.0 and most < 1e9:
        most *= 2.0
    for _ in range(30):
        middle = (least + most) / 2
        if sum(cut(middle)) >= 1.0:
            least = middle
        else:
            most = middle
    return cut(least)


def _limits(low: float, high: float) -> Iterator[tuple[Direction, float]]:
    """The bounds that some share could cross."""
    if high < 1.0:
        yield "above", high
    if low > 0.0:
        yield "below", low


def _beyond(share: float, direction: Direction, limit: float) -> float:
    """KL(share‖limit) of two outcomes; negative on the allowed side."""
    parts = ((share, limit), (1.0 - share, 1.0 - limit))
    divergence = sum(one * math.log(one / other) for one, other in parts if one > 0.0)
    return divergence if (share > limit) == (direction == "above") else -divergence
