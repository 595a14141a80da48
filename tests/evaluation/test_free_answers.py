"""Answers in free words are measured: whether there is one, how near it is, which of its fields are right."""

from __future__ import annotations

import pytest

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.measures.summaries import measures_of
from flyball.evaluation.scorer import score_suite
from flyball.evaluation.suites.suite import Item, Suite, bodies_of
from flyball.records import Measure, Message


def measured(*cases: tuple[str, str | None, str | None]) -> dict[str, Measure]:
    """The measures of (question, expected, answer); an answer of None is an error."""
    items = [
        Item(id=question, messages=(Message(role="user", content=question),), expected=expected)
        for question, expected, _ in cases
    ]
    suite = Suite(name="test", kind="answer", items=tuple(items))
    answers = {
        key: Answer(key=key, total_ms=1.0, text=text or "", error=None if text is not None else "no answer")
        for key, (_, _, text) in zip(bodies_of([suite]), cases, strict=True)
    }
    scores = list(score_suite(suite, answers, classification=False))
    return {measure.name: measure for measure in measures_of(scores, level=0.95)}


def test_a_conversation_is_measured_by_chrf_and_by_whether_it_answers() -> None:
    found = measured(("a", "good morning", "good morning"), ("b", "good night", ""), ("c", "hello", None))
    assert (found["answered"].value, found["answered"].n) == (pytest.approx(1 / 3), 3)
    assert found["chrf"].value == pytest.approx(1 / 3)
    assert 0.0 <= found["chrf"].lower < 1 / 3 < found["chrf"].upper <= 1.0
    assert found["exact_match"].successes == 1 and "exact_fields" not in found


def test_questions_without_a_reference_are_only_asked() -> None:
    found = measured(("a", None, "well"), ("b", None, " "))
    assert found["answered"].value == 0.5
    assert not {"chrf", "exact_match", "exact_fields"} & set(found)


def test_objects_are_measured_by_their_fields() -> None:
    found = measured(
        ("a", '{"x": 1, "y": 2}', '{"x": 1, "y": 3}'), ("b", '{"x": 5}', '{"x": 5}'), ("c", "none", "none")
    )
    assert found["exact_fields"].value == pytest.approx((0.5 + 1 + 1) / 3)
