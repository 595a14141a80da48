"""Count-multinomial bootstrap: what any statistic of counts would be in further samples of the same cases. Pure.

Cases that fall into the same cells are the same to a statistic of counts, so a replicate draws how often each kind
of case occurs (multinomial, with the shares seen) rather than rows: its cost does not grow with the rows. A case that
stands for several (a cluster: one template, one conversation) is one kind with several counts, and is drawn as a
whole. With NumPy 20,000 replicates; without it the standard library draws at most 1,000 (fewer where replicates × cases
would pass five million), and `method` says so. Seeded: the same cases give the same interval.
"""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyball.statistics.classification import percentile_interval
from flyball.statistics.intervals import Interval

SEED: Final = 20_240_601
REPLICATES: Final = 20_000
PLAIN_REPLICATES: Final = 1_000
MOST_DRAWS: Final = 5_000_000
MOST_COUNTS: Final = 16_000_000
"""Replicates × cells held at once: 128 MB."""
MOST_UNDEFINED: Final = 0.05
"""Where more of the replicates have no value there is no interval."""
Cells = Sequence[Any]
"""The counts of the cells: numbers, or arrays with an entry a replicate."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """Counts by cell in each replicate, and how they were drawn."""

    counts: Any
    method: str
    arrays: bool

    def values(self, statistic: Callable[[Cells], Any]) -> list[float]:
        """The statistic of each replicate, sorted; those without a value are left out."""
        if self.arrays:
            import numpy  # the counts are NumPy's already

            with numpy.errstate(all="ignore"):
                found = numpy.asarray(statistic(list(self.counts)), dtype=float)
            return [float(value) for value in numpy.sort(found[~numpy.isnan(found)])]
        plain = [float(statistic(row)) for row in self.counts]
        return sorted(value for value in plain if not math.isnan(value))

    def interval(self, statistic: Callable[[Cells], Any], level: float) -> Interval | None:
        """Percentile interval; None where too many replicates have no value, or there are too few for the level."""
        values = self.values(statistic)
        total = len(self.counts[0]) if self.arrays else len(self.counts)
        if len(values) < (1.0 - MOST_UNDEFINED) * total or (1.0 - level) / 2.0 * total < 1.0:
            return None
        return percentile_interval(values, level)


def resample(cases: Sequence[Mapping[Any, int]], cells: Sequence[Hashable], *, seed: int = SEED) -> Replicates:
    """Replicates of the counts in `cells`; each case (or cluster) says how much it adds to which."""
    kinds = Counter(tuple(case.get(cell, 0) for cell in cells) for case in cases)
    try:
        return _with_numpy(kinds, seed)
    except ImportError:
        return _plain(kinds, seed)


def _with_numpy(kinds: Counter[tuple[int, ...]], seed: int) -> Replicates:
    import numpy  # optional, and slow to load: only where there is something to resample

    rows = numpy.array(list(kinds), dtype=float)
    sizes = numpy.array(list(kinds.values()), dtype=float)
    times = max(PLAIN_REPLICATES, min(REPLICATES, MOST_COUNTS // max(rows.shape)))
    dice = numpy.random.Generator(numpy.random.PCG64(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = dice.multinomial(int(sizes.sum()), sizes / sizes.sum(), size=times).astype(float)
    return Replicates((drawn @ rows).T, f"count-multinomial bootstrap, {times} replicates, seed {seed}", arrays=True)


def _plain(kinds: Counter[tuple[int, ...]], seed: int) -> Replicates:
    total = kinds.total()
    times = max(100, min(PLAIN_REPLICATES, MOST_DRAWS // max(1, total)))
    dice, rows, sizes = random.Random(seed), list(kinds), list(kinds.values())
    replicates = []
    for _ in range(times):
        drawn = Counter(dice.choices(range(len(rows)), sizes, k=total))
        replicates.append([sum(rows[at][cell] * count for at, count in drawn.items()) for cell in range(len(rows[0]))])
    method = f"count-multinomial bootstrap, {times} replicates (NumPy is not installed), seed {seed}"
    return Replicates(replicates, method, arrays=False)
