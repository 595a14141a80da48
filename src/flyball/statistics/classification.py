"""Macro F1 of single-label answers, alone and against another model, with seeded bootstrap bounds.

Method, stated in every report that uses it: percentile bootstrap over items (Efron 1979, Annals of Statistics 7:1),
1,000 replicates drawn with replacement by a generator seeded with `SEED`. It is approximate: use exact_match for
decisions on few items.

Beyond `MOST_ROWS` items the counts are drawn instead, at a cost that grows with the kinds of answers and not with the
items: each count is weighted by a gamma variable of that mean and variance (the Bayesian bootstrap: Rubin 1981, Annals
of Statistics 9:130), which differs from the former in order 1/n only. By the standard library alone, so that a gate
recomputes the same bound wherever it runs; 1,000 replicates, fewer above 400 kinds. Earlier decisions drew rows at any
size (`rows`), with fewer replicates where items × replicates would pass five million.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from flyball.statistics.intervals import Interval

T = TypeVar("T")
V = TypeVar("V")
SEED = 20_240_601
REPLICATES = 1000
MOST_DRAWS = 5_000_000
MOST_ROWS = 5_000
MOST_WEIGHTS = 400_000
NEARLY_NORMAL = 10
"""From this count on a gamma variable is drawn by Wilson and Hilferty's cube (1931, PNAS 17:684)."""
Drawn = Literal["counts", "rows"]
Pair = tuple[str, str | None]
"""(expected label, answered label); None: no answer, or one that is no known label."""


def f1_by_label(pairs: Mapping[Pair, float]) -> dict[str, float]:
    """F1 of each label that is expected at least once, from counts of (expected, answered)."""
    expected: defaultdict[str, float] = defaultdict(float)
    answered: defaultdict[str | None, float] = defaultdict(float)
    right: defaultdict[str, float] = defaultdict(float)
    for (truth, answer), count in pairs.items():
        expected[truth] += count
        answered[answer] += count
        if truth == answer:
            right[truth] += count
    return {label: 2.0 * right[label] / (total + answered[label]) for label, total in expected.items() if total}


def macro_f1(pairs: Mapping[Pair, float]) -> float:
    """Unweighted mean of F1 over the labels that are expected; an answer that is no such label is a plain miss."""
    scores = f1_by_label(pairs)
    return sum(scores.values()) / len(scores) if scores else 0.0


def macro_averages(pairs: Mapping[Pair, float]) -> tuple[float, float, float]:
    """Macro F1, precision and recall over the labels that are expected; precision is 0 of a label never answered."""
    expected: defaultdict[str, float] = defaultdict(float)
    answered: defaultdict[str | None, float] = defaultdict(float)
    right: defaultdict[str, float] = defaultdict(float)
    for (truth, answer), count in pairs.items():
        expected[truth] += count
        answered[answer] += count
        if truth == answer:
            right[truth] += count
    labels = [label for label, total in expected.items() if total]
    f1 = sum(2.0 * right[label] / (expected[label] + answered[label]) for label in labels)
    precision = sum(right[label] / answered[label] for label in labels if answered[label])
    recall = sum(right[label] / expected[label] for label in labels)
    most = max(1, len(labels))
    return f1 / most, precision / most, recall / most


def macro_replicates(pairs: Sequence[Pair], *, seed: int = SEED) -> list[list[float]]:
    """Sorted bootstrap replicates of macro F1, precision and recall, of the same draws."""
    return [sorted(values) for values in zip(*_replicates(pairs, macro_averages, seed, "counts"), strict=True)]


def macro_f1_replicates(pairs: Sequence[Pair], *, seed: int = SEED, drawn: Drawn = "counts") -> list[float]:
    """Sorted bootstrap replicates of macro F1."""
    return sorted(_replicates(pairs, macro_f1, seed, drawn))


def macro_f1_difference_replicates(
    triples: Sequence[tuple[str, str | None, str | None]], *, seed: int = SEED, drawn: Drawn = "counts"
) -> list[float]:
    """Sorted bootstrap replicates of candidate − live, from (expected, candidate's answer, live's answer)."""
    return sorted(_replicates(triples, macro_f1_difference, seed, drawn))


def macro_f1_difference(triples: Mapping[tuple[str, str | None, str | None], float]) -> float:
    """Macro F1 of the candidate minus live's, from counts of (expected, candidate's answer, live's answer)."""
    candidate: defaultdict[Pair, float] = defaultdict(float)
    live: defaultdict[Pair, float] = defaultdict(float)
    for (truth, ours, theirs), count in triples.items():
        candidate[truth, ours] += count
        live[truth, theirs] += count
    return macro_f1(candidate) - macro_f1(live)


def method(items: int, drawn: Drawn = "counts") -> str:
    """How the replicates of so many items are drawn, in words."""
    return f"seeded percentile bootstrap{' of counts' if drawn == 'counts' and items > MOST_ROWS else ''}"


def _replicates(items: Sequence[T], statistic: Callable[[Mapping[T, float]], V], seed: int, drawn: Drawn) -> list[V]:
    cells = Counter(items)
    kinds, weights = list(cells), list(cells.values())
    dice = random.Random(seed)
    if drawn == "counts" and len(items) > MOST_ROWS:
        times = max(100, min(REPLICATES, MOST_WEIGHTS // len(kinds)))
        return [statistic({kind: gamma_weight(dice, count) for kind, count in cells.items()}) for _ in range(times)]
    times = max(100, min(REPLICATES, MOST_DRAWS // max(1, len(items))))
    return [statistic(Counter(dice.choices(kinds, weights, k=len(items)))) for _ in range(times)]


def gamma_weight(dice: random.Random, count: int) -> float:
    """A gamma variable with mean and variance `count`."""
    if count < NEARLY_NORMAL:
        return dice.gammavariate(count, 1.0)
    return count * max(0.0, 1.0 - 1.0 / (9.0 * count) + dice.gauss() / (3.0 * math.sqrt(count))) ** 3


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted replicates lies."""
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered))))]


def percentile_interval(ordered: Sequence[float], level: float) -> Interval:
    """Two-sided percentile interval from sorted replicates."""
    tail = (1.0 - level) / 2.0
    return percentile(ordered, tail), percentile(ordered, 1.0 - tail)
