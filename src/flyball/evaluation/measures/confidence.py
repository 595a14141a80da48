"""Calibration of labels: Brier score, expected calibration error, and the area under accuracy by coverage. Pure.

The confidence is the probability that the engine gave the text of its answer. A case scores (confidence - right)², its
part of the Brier score; together with whether it was right, that tells the confidence too. A case without an answer
scores 1, the worst. Where an answer of a suite has no probability, none of the three is available (`why_not`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import BRIER
from flyball.evaluation.measures.family import scored
from flyball.evaluation.measures.summaries import mean_score, slices_of
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.answer_probability import NONE_GIVEN
from flyball.records import Measure
from flyball.statistics.calibration import Sure, area_under_coverage, bounds, calibration_error

ERROR: Final = "calibration_error"
AREA: Final = "accuracy_by_coverage"
RIGHT: Final = "right"
WRONG: Final = "wrong"


def why_not(suite: Suite, answers: Mapping[str, Answer]) -> str:
    """Why the calibration of a suite is not available; empty where it is."""
    if any(item.expected is None for item in suite.items):
        return "a case has no expected answer"
    answered = [answers[item.key] for item in suite.items if not answers[item.key].error]
    if not answered:
        return "no case was answered"
    unknown = [answer.unknown or NONE_GIVEN for answer in answered if answer.log_probability is None]
    if not unknown:
        return ""
    return f"{unknown[0]} ({len(unknown)} of {len(answered)} answers)"


def scored_of(suite: Suite, item: Item, answer: Answer, *, right: bool) -> ItemScore:
    """The case's part of the Brier score; `answer` says whether it was right, as `expected` always is."""
    if answer.error or answer.log_probability is None:
        return scored(suite, item, BRIER, 1.0, error=answer.error)
    off = math.exp(answer.log_probability) - right
    return scored(suite, item, BRIER, off * off, expected=RIGHT, answer=RIGHT if right else WRONG)


def sure_of(score: ItemScore) -> Sure:
    """The confidence of a case, back from its score."""
    right, off = score.answer == RIGHT, math.sqrt(score.score)
    confidence = round(1.0 - off if right else off, 12)  # so that equal confidences come back equal
    return Sure(confidence=confidence, right=right, answered=not score.error)


def summarise(suite: str, name: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The Brier score of the suite and of its slices; calibration error and area of the suite."""
    yield mean_score(suite, name, group, level)
    for part, some in sorted(slices_of(group).items()):
        yield mean_score(suite, name, some, level, part=part)
    items = [sure_of(score) for score in group]
    values = (calibration_error(items), area_under_coverage(items))
    for of, value, (lower, upper) in zip((ERROR, AREA), values, bounds(items, level), strict=True):
        yield Measure(
            suite=suite,
            name=of,
            value=value,
            lower=min(lower, value),
            upper=max(upper, value),
            level=level,
            n=len(items),
        )
