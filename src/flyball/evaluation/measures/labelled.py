"""Labelled: cases that name the labels which an answer may be, such as functional tests. Pure.

An answer is a label when it equals one (`inference/labels.py`), or when exactly one stands in it as whole words, the
longer label before one that it contains: "The text is non-hateful." is non-hateful. A cluster whose cases expect
different labels is a contrast set; `consistency` is the share of these that are right in every case (Gardner et al.
2020, "Evaluating Models' Local Decision Boundaries via Contrast Sets", Findings of EMNLP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import BRIER, CLASSES
from flyball.evaluation.measures import confidence
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.summaries import usual
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.labels import KnownLabels, normalised, one_form
from flyball.records import Measure
from flyball.statistics.intervals import clopper_pearson


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """1 where the answer is the expected label; a case without an answer scores 0 and keeps the reason."""
    has_confidence = not confidence.why_not(suite, answers)
    for item in suite.items:
        answer = answers[item.key]
        expected, error = one_form(item.expected or ""), answer.error
        found = None if error else label_in(answer.text, labels_of(item))
        yield scored(suite, item, "accuracy", float(found == expected), error=error, expected=expected, answer=found)
        if has_confidence:
            yield confidence.scored_of(suite, item, answer, right=found == expected)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=error)


def labels_of(item: Item) -> Sequence[str]:
    """The labels that a case may be answered with."""
    return cast(Sequence[str], item.data.get("labels") or [item.expected or ""])


def label_in(answer: str, labels: Sequence[str]) -> str | None:
    """The label that an answer is or names; None where it names none or several."""
    if (exact := KnownLabels(labels).find(answer)) is not None:
        return exact
    rest, named = normalised(answer), []
    for label in sorted(labels, key=len, reverse=True):
        words = re.compile(rf"(?<![\w-]){re.escape(normalised(label))}(?![\w-])")
        if words.search(rest):
            named.append(one_form(label))
            rest = words.sub(" ", rest)
    return named[0] if len(named) == 1 else None


def summarise(suite: str, name: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The usual measures of accuracy, and the consistency of contrast sets where there are any."""
    yield from usual(suite, name, group, level, graded=())
    sets = [scores for scores in clusters_of(group) if len({score.expected for score in scores}) > 1]
    if sets:
        right = sum(all(score.score >= 1.0 for score in scores) for scores in sets)
        lower, upper = clopper_pearson(right, len(sets), level)
        yield Measure(
            suite=suite,
            name="consistency",
            value=right / len(sets),
            lower=lower,
            upper=upper,
            level=level,
            n=len(sets),
            successes=right,
        )


def clusters_of(group: Sequence[ItemScore]) -> list[list[ItemScore]]:
    """Scores by their cluster."""
    found: dict[str, list[ItemScore]] = {}
    for score in group:
        if score.cluster is not None:
            found.setdefault(score.cluster, []).append(score)
    return list(found.values())


FAMILY = Family(
    kind="labelled",
    score=score,
    measures=("accuracy", *CLASSES, "consistency", BRIER, "latency_p50_ms", "latency_p99_ms"),
    summaries={"accuracy": summarise, BRIER: confidence.summarise},
)
