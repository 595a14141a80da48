"""From per-item scores to measures with two-sided intervals.

Proportions: Clopper–Pearson. Graded scores (chrF, exact fields, …): betting bounds on their mean. Labels: classes.py.
Latency quantiles: order statistics; a case without an answer counts as slower than every answer. Errors are a measure
of their own. What is measured of a label, and invariance per kind of edit, are slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.classes import class_measures, share
from flyball.evaluation.measures.family import Summarise
from flyball.records import Measure
from flyball.statistics.classification import Pair
from flyball.statistics.intervals import clopper_pearson, quantile, quantile_interval
from flyball.statistics.means import mean_lower, mean_upper

LATENCY = "latency_ms"
ERRORS = "errors"
"""The share of cases without an answer, beside the measures of what was answered."""
GRADED = ("chrf", "token_f1", "rouge_l", "bleu", "exact_fields")
"""Measures whose items score anything from 0 to 1."""
TELLS_NO_FAILURE = (
    *("refused", "over_refused", "attack_success", "recalled", "win_rate", "tied", "unjudged", "malformed", "toxic"),
    *("expected_maximum_toxicity", "toxicity_probability"),
    *("perplexity", "bits_per_byte", "stereotype_preferred", "brier", "favourable"),
)
"""Measures that tell what an answer is, not whether it is right, or of which less is better."""
QUANTILES = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99}


def measures_of(
    scores: Sequence[ItemScore],
    *,
    level: float,
    graded: Sequence[str] = GRADED,
    summaries: Mapping[str, Summarise] | None = None,
) -> tuple[Measure, ...]:
    """The measures of scores, by suite and measure in the order of the scores; `summaries` replace the usual ones."""
    groups: dict[tuple[str, str], list[ItemScore]] = {}
    for score in scores:
        groups.setdefault((score.suite, score.measure), []).append(score)
    found: list[Measure] = []
    for (suite, name), group in groups.items():
        summarise = (summaries or {}).get(name)
        found += summarise(suite, name, group, level) if summarise else usual(suite, name, group, level, graded=graded)
    return tuple(found)


def errors(suite: str, scores: Sequence[ItemScore], level: float) -> Measure:
    """The share of a suite's cases that got no answer, whatever measures count them as wrong."""
    failed = {score.item: bool(score.error) for score in scores if score.suite == suite}
    n, count = len(failed), sum(failed.values())
    lower, upper = clopper_pearson(count, n, level)
    return Measure(
        suite=suite, name=ERRORS, value=count / n, lower=lower, upper=upper, level=level, n=n, successes=count
    )


def usual(
    suite: str, name: str, group: Sequence[ItemScore], level: float, *, graded: Sequence[str]
) -> Iterator[Measure]:
    """A share or a mean with its interval, over the suite and each of its slices; of labels, recall and macro F1."""
    if name == LATENCY:
        yield from latencies(suite, group, level)
        return
    measured = mean_score if name in graded else proportion
    yield measured(suite, name, group, level)
    if name == "accuracy":
        yield from class_measures(suite, group, level)
    for part, scores in sorted(slices_of(group).items()):
        yield measured(suite, name, scores, level, part=part)


def slices_of(group: Sequence[ItemScore]) -> dict[str, list[ItemScore]]:
    """Scores by slice: its name, or `dimension=value` for a named dimension."""
    found: dict[str, list[ItemScore]] = {}
    for score in group:
        if score.slice is not None:
            found.setdefault(score.slice, []).append(score)
        for dimension, value in score.groups.items():
            found.setdefault(f"{dimension}={value}", []).append(score)
    return found


def proportion(suite: str, name: str, group: Sequence[ItemScore], level: float, part: str | None = None) -> Measure:
    """The share of items that scored 1, with its exact interval."""
    return share(suite, name, sum(score.score >= 1.0 for score in group), len(group), level, part)


def mean_score(suite: str, name: str, group: Sequence[ItemScore], level: float, part: str | None = None) -> Measure:
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


def latencies(suite: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """Median and 99th percentile of the answer's time, as the asker saw it at the concurrency that was set."""
    slowest = max(score.score for score in group)
    ordered = sorted(slowest if score.error else score.score for score in group)
    for name, q in QUANTILES.items():
        lower, upper = quantile_interval(ordered, q, level)
        value = quantile(ordered, q)
        yield Measure(suite=suite, name=name, value=value, lower=lower, upper=upper, level=level, n=len(ordered))
