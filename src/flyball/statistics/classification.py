"""Macro F1 of single-label answers, alone and against another model, with seeded bootstrap bounds.

Method, stated in every report that uses it: percentile bootstrap over items (Efron 1979, Annals of Statistics 7:1),
1,000 replicates (fewer where items × replicates would pass five million), items drawn with replacement by a generator
seeded with `SEED`. It is approximate: use exact_match for decisions on few items.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from flyball.statistics.intervals import Interval

T = TypeVar("T")
SEED = 20_240_601
REPLICATES = 1000
MOST_DRAWS = 5_000_000
Pair = tuple[str, str | None]
"""(expected label, answered label); None: no answer, or one that is no known label."""


def f1_by_label(pairs: Mapping[Pair, int]) -> dict[str, float]:
    """F1 of each label that is expected at least once, from counts of (expected, answered)."""
    expected: Counter[str] = Counter()
    answered: Counter[str | None] = Counter()
    right: Counter[str] = Counter()
    for (truth, answer), count in pairs.items():
        expected[truth] += count
        answered[answer] += count
        if truth == answer:
            right[truth] += count
    return {label: 2.0 * right[label] / (total + answered[label]) for label, total in expected.items() if total}


def macro_f1(pairs: Mapping[Pair, int]) -> float:
    """Unweighted mean of F1 over the labels that are expected; an answer that is no such label is a plain miss."""
    scores = f1_by_label(pairs)
    return sum(scores.values()) / len(scores) if scores else 0.0


def macro_f1_replicates(pairs: Sequence[Pair], *, seed: int = SEED) -> list[float]:
    """Sorted bootstrap replicates of macro F1."""
    return _replicates(pairs, macro_f1, seed)


def macro_f1_difference_replicates(
    triples: Sequence[tuple[str, str | None, str | None]], *, seed: int = SEED
) -> list[float]:
    """Sorted bootstrap replicates of candidate − live, from (expected, candidate's answer, live's answer)."""
    return _replicates(triples, macro_f1_difference, seed)


def macro_f1_difference(triples: Mapping[tuple[str, str | None, str | None], int]) -> float:
    """Macro F1 of the candidate minus live's, from counts of (expected, candidate's answer, live's answer)."""
    candidate: Counter[Pair] = Counter()
    live: Counter[Pair] = Counter()
    for (truth, ours, theirs), count in triples.items():
        candidate[truth, ours] += count
        live[truth, theirs] += count
    return macro_f1(candidate) - macro_f1(live)


def _replicates(items: Sequence[T], statistic: Callable[[Mapping[T, int]], float], seed: int) -> list[float]:
    cells = Counter(items)
    kinds, weights = list(cells), list(cells.values())
    times = max(100, min(REPLICATES, MOST_DRAWS // max(1, len(items))))
    dice = random.Random(seed)
    return sorted(statistic(Counter(dice.choices(kinds, weights, k=len(items)))) for _ in range(times))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted replicates lies."""
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered))))]


def percentile_interval(ordered: Sequence[float], level: float) -> Interval:
    """Two-sided percentile interval from sorted replicates."""
    tail = (1.0 - level) / 2.0
    return percentile(ordered, tail), percentile(ordered, 1.0 - tail)
