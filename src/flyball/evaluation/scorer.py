"""From answers to per-item scores and measures, suite by suite, by the family of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.catalog import FAMILIES
from flyball.evaluation.measures.family import Known
from flyball.evaluation.measures.summaries import errors, measures_of
from flyball.evaluation.suites.suite import Suite
from flyball.records import Measure


def score_suite(
    suite: Suite,
    answers: Mapping[str, Answer],
    *,
    classification: bool,
    labels: Sequence[str] = (),
    ratings: Mapping[str, Answer] | None = None,
) -> Iterator[ItemScore]:
    """Scores of one suite, item by item; a case without an answer scores 0 and keeps the reason."""
    known = Known(classification=classification, labels=labels, ratings=ratings or {})
    return FAMILIES[suite.kind].score(suite, answers, known)


def measure_suites(suites: Sequence[Suite], scores: Sequence[ItemScore], *, level: float) -> tuple[Measure, ...]:
    """All measures of one evaluation, suite by suite, in the order of the scores, then the errors of each."""
    by_suite: dict[str, list[ItemScore]] = {suite.name: [] for suite in suites}
    for score in scores:
        by_suite[score.suite].append(score)
    found: list[Measure] = []
    for suite in suites:
        family = FAMILIES[suite.kind]
        found += measures_of(by_suite[suite.name], level=level, graded=family.graded, summaries=family.summaries)
        if family.derived and by_suite[suite.name]:
            found += family.derived(suite, by_suite[suite.name], level)
    return (*found, *(errors(suite.name, by_suite[suite.name], level) for suite in suites if by_suite[suite.name]))
