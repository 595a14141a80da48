"""A family of measures: how cases of one kind are scored, and how their scores become measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the task: whether answers are labels, and which labels the release may answer.

    `ratings`: replies of judges on the answers (`answer_judge.rating_key`).
    """

    classification: bool = False
    labels: Sequence[str] = ()
    ratings: Mapping[str, Answer] = field(default_factory=dict)


Score = Callable[[Suite, Mapping[str, Answer], Known], Iterator[ItemScore]]
"""Scores of a suite, case by case; a case without an answer scores 0 (or the worst) and keeps the reason."""
Summarise = Callable[[str, str, Sequence[ItemScore], float], Iterator[Measure]]
"""(suite, measure, its item scores, level) → measures of the whole suite and of its slices."""

Derive = Callable[[Suite, Sequence[ItemScore], float], Iterator[Measure]]
"""(suite, its item scores, level) → measures that no single score makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of suite: its scores, the measures that gate rules may name, and summaries that are not a share or mean.

    `graded`: measures whose cases score anything from 0 to 1. `summaries`: by the name that item scores carry.
    `derived`: measures of a whole suite besides, which no gate rule names.
    """

    kind: str
    score: Score
    measures: Sequence[str]
    graded: Sequence[str] = ()
    summaries: Mapping[str, Summarise] | None = None
    derived: Derive | None = None


def scored(
    suite: Suite, item: Item, measure: str, score: float, *, error: str | None = None, **more: str | None
) -> ItemScore:
    """One score of one case, with the slices and the cluster that the case is in."""
    return ItemScore(
        suite=suite.name,
        item=item.id,
        measure=measure,
        score=score,
        slice=item.slice,
        groups=dict(item.groups),
        cluster=item.cluster,
        weight=item.weight,
        error=error,
        **more,
    )
