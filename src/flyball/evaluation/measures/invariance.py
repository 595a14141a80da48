"""Invariance: an edit that must not change the answer has not changed it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import INVARIANCE
from flyball.evaluation.measures.answers import same
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.suites.suite import Suite


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """1 where the answers to the original and to its edit are the same."""
    for item in suite.items:
        assert item.original_key is not None
        before, after = answers[item.original_key], answers[item.key]
        error = before.error or after.error
        yield scored(suite, item, "invariance", float(error is None and same(before.text, after.text)), error=error)


FAMILY = Family(kind="invariance", score=score, measures=INVARIANCE)
