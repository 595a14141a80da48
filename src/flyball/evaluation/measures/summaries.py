"""From per-item scores to measures with two-sided intervals.

Proportions: Clopper–Pearson. Graded scores (chrF, exact fields): betting bounds on their mean. Macro F1: seeded
percentile bootstrap (statistics/classification.py). Latency quantiles: order statistics; a case without an answer
counts as slower than every answer. Errors are a measure of their own. Recall per label and invariance per kind of edit
are slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flyball.evaluation.item_scores import ItemScore
from flyball.records import Measure
from flyball.statistics.classification import Pair, macro_f1, macro_f1_replicates, percentile_interval
from flyball.statistics.intervals import clopper_pearson, quantile, quantile_interval
from flyball.statistics.means import mean_lower, mean_upper

LATENCY = "latency_ms"
ERRORS = "errors"
"""The share of cases without an answer, beside the measures of what was answered."""
GRADED = ("chrf", "exact_fields")
"""Measures whose items score anything from 0 to 1."""
QUANTILES = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99}


def measures_of(scores: Sequence[ItemScore], *, level: float) -> tuple[Measure, ...]:
    """All measures of one evaluation, suite by suite, in the order of the scores."""
    groups: dict[tuple[str, str], list[ItemScore]] = {}
    for score in scores:
        groups.setdefault((score.suite, score.measure), []).append(score)
    found = [measure for (suite, name), group in groups.items() for measure in _of_group(suite, name, group, level)]
    return (*found, *(errors(suite, scores, level) for suite in dict.fromkeys(score.suite for score in scores)))


def errors(suite: str, scores: Sequence[ItemScore], level: float) -> Measure:
    """The share of a suite's cases that got no answer, whatever measures count them as wrong."""
    failed = {score.item: bool(score.error) for score in scores if score.suite == suite}
    n, count = len(failed), sum(failed.values())
    lower, upper = clopper_pearson(count, n, level)
    return Measure(
        suite=suite, name=ERRORS, value=count / n, lower=lower, upper=upper, level=level, n=n, successes=count
    )


def _of_group(suite: str, name: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    if name == LATENCY:
        yield from latencies(suite, group, level)
        return
    measured = graded if name in GRADED else proportion
    yield measured(suite, name, group, level)
    if name == "accuracy":
        yield macro(suite, group, level)
        by_label: dict[str, list[ItemScore]] = {}
        for score in group:
            by_label.setdefault(score.expected or "", []).append(score)
        for label in sorted(by_label):
            yield proportion(suite, "recall", by_label[label], level, part=label)
        return
    by_slice: dict[str, list[ItemScore]] = {}
    for score in group:
        if score.slice is not None:
            by_slice.setdefault(score.slice, []).append(score)
    for part in sorted(by_slice):
        yield measured(suite, name, by_slice[part], level, part=part)


def proportion(suite: str, name: str, group: Sequence[ItemScore], level: float, part: str | None = None) -> Measure:
    """The share of items that scored 1, with its exact interval."""
    n, successes = len(group), sum(score.score >= 1.0 for score in group)
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


def graded(suite: str, name: str, group: Sequence[ItemScore], level: float, part: str | None = None) -> Measure:
    """The mean score with a bound on either side (statistics/means.py)."""
    scores = [score.score for score in group]
    alpha = (1.0 - level) / 2.0
    return Measure(
        suite=suite,
        name=name,
        value=sum(scores) / len(scores),
        lower=mean_lower(scores, alpha),
        upper=mean_upper(scores, alpha),
        level=level,
        n=len(scores),
        slice=part,
    )


def pairs_of(group: Sequence[ItemScore]) -> list[Pair]:
    """(expected, answered) of each item."""
    return [(score.expected or "", score.answer) for score in group]


def macro(suite: str, group: Sequence[ItemScore], level: float) -> Measure:
    """Macro F1 over the labels that are expected."""
    pairs = pairs_of(group)
    value = macro_f1(Counter(pairs))
    lower, upper = percentile_interval(macro_f1_replicates(pairs), level)
    return Measure(
        suite=suite,
        name="macro_f1",
        value=value,
        lower=min(lower, value),
        upper=max(upper, value),
        level=level,
        n=len(pairs),
    )


def latencies(suite: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """Median and 99th percentile of the answer's time, as the asker saw it at the concurrency that was set."""
    slowest = max(score.score for score in group)
    ordered = sorted(slowest if score.error else score.score for score in group)
    for name, q in QUANTILES.items():
        lower, upper = quantile_interval(ordered, q, level)
        value = quantile(ordered, q)
        yield Measure(suite=suite, name=name, value=value, lower=lower, upper=upper, level=level, n=len(ordered))
