"""CheckList: whether a behaviour test is passed, and the failure rate of each test, capability and type. Pure.

`passed` is 1 where an MFT got the expected answer, an INV the same answer before and after its edit, and a DIR an
answer that moved as it must (up and down: not the other way; labels are ordered). Where the file names labels,
answers are compared as labels, and an answer that names none fails. `failure_rate` is 1 − passed, as CheckList has it;
where CheckList's test cases have several examples, its rate is `case_failure_rate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.answers import same
from flyball.evaluation.measures.classes import share
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.labelled import label_in
from flyball.evaluation.measures.summaries import slices_of, usual
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Measure


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """1 for a test that is passed; a case without an answer scores 0 and keeps the reason."""
    for item in suite.items:
        after = answers[item.key]
        before = answers[item.original_key] if item.original_key else None
        error = after.error or (before.error if before else None)
        passed, wanted, found = False, item.expected if item.data.get("labels") else None, None
        if not error:
            passed, wanted, found = passes(item, before.text if before else None, after.text)
        yield scored(suite, item, "passed", float(passed), error=error, expected=wanted, answer=found)


def passes(item: Item, before: str | None, after: str) -> tuple[bool, str | None, str | None]:
    """Whether the answer is as it must be, with the labels that were wanted and found (None: not known)."""
    labels = cast(Sequence[str], item.data.get("labels") or ())
    if not labels:
        return same(after, item.expected or "" if before is None else before), None, None
    wanted = item.expected if before is None else label_in(before, labels)
    found = label_in(after, labels)
    return moved_rightly(item, labels, wanted, found), wanted, found


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


def failed_cases(suite: Suite, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """CheckList's own failure rate where its test cases have several examples: one that fails fails its test case."""
    case = {item.id: (item.slice, item.data.get("case")) for item in suite.items}
    if len(set(case.values())) == len(case) or any(at is None for _, at in case.values()):
        return
    first: dict[tuple[str | None, object], ItemScore] = {}
    for score in scores:
        if score.measure == "passed" and (case[score.item] not in first or score.score < 1.0):
            first[case[score.item]] = score
    worst = list(first.values())
    for part, some in ((None, worst), *sorted(slices_of(worst).items())):
        failed = sum(score.score < 1.0 for score in some)
        yield share(suite.name, "case_failure_rate", failed, len(some), level, part)


FAMILY = Family(
    kind="checklist",
    score=score,
    measures=("passed", "failure_rate"),
    summaries={"passed": summarise},
    derived=failed_cases,
)
