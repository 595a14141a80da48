"""Precision, recall and F1 by class, micro and macro, of cases that have one label. Pure.

Intervals: Clopper–Pearson for precision and recall. F1 of a class is 2J / (1 + J) of J, the share right among the cases
that are or were called of the class, so its limits are those of J. Micro F1 is 2r / (1 + a) of the share right and the
share answered with a label: exact limits of both, each at half the error. Macro averages: percentile bootstrap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flyball.evaluation.item_scores import ItemScore
from flyball.records import Measure
from flyball.statistics.classification import (
    Pair,
    macro_averages,
    macro_replicates,
    percentile_interval,
)
from flyball.statistics.intervals import Interval, clopper_pearson


def class_measures(suite: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """Macro precision, recall and F1, micro precision and F1, then precision, recall and F1 of each class."""
    pairs: list[Pair] = [(score.expected or "", score.answer) for score in group]
    counts = Counter(pairs)
    for name, value, replicates in zip(
        ("macro_f1", "macro_precision", "macro_recall"), macro_averages(counts), macro_replicates(pairs), strict=True
    ):
        lower, upper = percentile_interval(replicates, level)
        yield _measure(suite, name, value, (min(lower, value), max(upper, value)), len(pairs), level)
    right = sum(count for (truth, answer), count in counts.items() if truth == answer)
    answered = sum(count for (_, answer), count in counts.items() if answer is not None)
    if answered:
        yield share(suite, "micro_precision", right, answered, level)
    yield _micro_f1(suite, right, answered, len(pairs), level)
    for label in sorted({truth for truth, _ in counts}):
        yield from _of_class(suite, label, counts, level)


def _of_class(suite: str, label: str, counts: Counter[Pair], level: float) -> Iterator[Measure]:
    true = counts[label, label]
    expected = sum(count for (truth, _), count in counts.items() if truth == label)
    called = sum(count for (_, answer), count in counts.items() if answer == label)
    yield share(suite, "recall", true, expected, level, label)
    if called:
        yield share(suite, "precision", true, called, level, label)
    either = expected + called - true
    limits = clopper_pearson(true, either, level)
    bounds = (2 * limits[0] / (1 + limits[0]), 2 * limits[1] / (1 + limits[1]))
    yield _measure(suite, "f1", 2 * true / (expected + called), bounds, either, level, label)


def _micro_f1(suite: str, right: int, answered: int, n: int, level: float) -> Measure:
    half = (1.0 + level) / 2.0
    rights, answers = clopper_pearson(right, n, half), clopper_pearson(answered, n, half)
    bounds = (2 * rights[0] / (1 + answers[1]), min(1.0, 2 * rights[1] / (1 + answers[0])))
    return _measure(suite, "micro_f1", 2 * right / (n + answered), bounds, n, level)


def share(suite: str, name: str, successes: int, n: int, level: float, part: str | None = None) -> Measure:
    """So many of n, with the exact interval."""
    lower, upper = clopper_pearson(successes, n, level)
    return Measure(
        suite=suite,
        name=name,
        value=successes / n,
        lower=lower,
        upper=upper,
        level=level,
        n=n,
        successes=successes,
        slice=part,
    )


def _measure(
    suite: str, name: str, value: float, bounds: Interval, n: int, level: float, part: str | None = None
) -> Measure:
    return Measure(suite=suite, name=name, value=value, lower=bounds[0], upper=bounds[1], level=level, n=n, slice=part)
