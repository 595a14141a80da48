"""CheckList: whether a behaviour test is passed, and the failure rate of each test, capability and type. Pure.

`passed` is 1 where an MFT got the expected answer, an INV the same answer before and after its edit, and a DIR an
answer that moved as it must (up and down: not the other way; labels are ordered). Where the file names labels,
answers are compared as labels, and an answer that names none fails. `failure_rate` is 1 − passed, as CheckList has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.answers import same
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.labelled import label_in
from flyball.evaluation.measures.summaries import usual
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Measure


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """1 for a test that is passed; a case without an answer scores 0 and keeps the reason."""
    for item in suite.items:
        after = answers[item.key]
        before = answers[item.original_key] if item.original_key else None
        error = after.error or (before.error if before else None)
        labels = cast(Sequence[str], item.data.get("labels") or ())
        wanted, found = item.expected, None
        if labels and not error:
            wanted = label_in(before.text, labels) if before else item.expected
            found = label_in(after.text, labels)
        passed = not error and (
            moved_rightly(item, labels, wanted, found)
            if labels
            else same(after.text, before.text if before else item.expected or "")
        )
        yield scored(
            suite, item, "passed", float(passed), error=error, expected=wanted if labels else None, answer=found
        )


def moved_rightly(item: Item, labels: Sequence[str], before: str | None, after: str | None) -> bool:
    """Whether the label is the expected one, stayed, or moved in the direction of the test."""
    if before is None or after is None:
        return False
    direction = item.data.get("direction")
    if direction is None:
        return before == after
    if direction == "changes":
        return before != after
    difference = labels.index(after) - labels.index(before)
    return difference >= 0 if direction == "up" else difference <= 0


def summarise(suite: str, name: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The share that passed and the failure rate, over the suite, each test, capability, type and both together."""
    passed = list(usual(suite, name, group, level, graded=()))
    yield from passed
    for measure in passed:
        yield replace(
            measure,
            name="failure_rate",
            value=1.0 - measure.value,
            lower=1.0 - measure.upper,
            upper=1.0 - measure.lower,
            successes=None if measure.successes is None else measure.n - measure.successes,
        )


FAMILY = Family(kind="checklist", score=score, measures=("passed", "failure_rate"), summaries={"passed": summarise})
