"""Scores that another program made: a share where all are 0 or 1, else a mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import ELSEWHERE
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.summaries import mean_score, proportion, slices_of
from flyball.evaluation.suites.suite import Suite
from flyball.records import Measure

SCORE = "score"


def score(suite: Suite, _answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """What the file says of each case; a case without a score has 0 and the reason."""
    made = suite.elsewhere
    assert made is not None
    for item in suite.items:
        missing = made.missing.get(item.id)
        yield scored(suite, item, SCORE, 0.0 if missing else made.scores[item.id], error=missing)


def summary(suite: str, name: str, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The suite and its slices, by one rule for all of them."""
    measured = proportion if all(one.score in (0.0, 1.0) for one in scores) else mean_score
    yield measured(suite, name, scores, level)
    for part, some in sorted(slices_of(scores).items()):
        yield measured(suite, name, some, level, part=part)


FAMILY = Family(kind=ELSEWHERE, score=score, measures=(SCORE,), graded=(SCORE,), summaries={SCORE: summary})
