"""A person's feedback becomes good, bad or nothing, never a guess that flatters the model."""

from __future__ import annotations

import pytest

from flyball.monitoring.feedback_grades import grade, is_gradeable
from flyball.records import Feedback


def feedback(
    *, score: float | None = None, label: str | None = None, corrected: bool = False, judge: str | None = None
) -> Feedback:
    return Feedback(
        id="f",
        project="shop",
        request="r",
        client_id=None,
        key_id="local",
        score=score,
        label=label,
        has_correction=corrected,
        has_comment=False,
        at_ms=0,
        judge=judge,
    )


@pytest.mark.parametrize(
    ("given", "answer", "correction", "expected"),
    [
        (feedback(score=0.5), "a", None, True),
        (feedback(score=0.49), "a", None, False),
        (feedback(score=1.0, corrected=True), "a", "b", True),
        (feedback(label="Good"), "a", None, True),
        (feedback(label="thumbs_down"), "a", None, False),
        (feedback(label="sarcastic"), "a", None, None),
        (feedback(corrected=True), "refund", " refund\n", True),
        (feedback(corrected=True), "refund", "delivery", False),
        (feedback(corrected=True), None, "delivery", False),
        (feedback(corrected=True), None, None, False),
        (feedback(), "a", None, None),
        (feedback(score=0.0, judge="ann"), "a", None, None),
        (feedback(label="bad", corrected=True, judge="ann"), "a", "b", None),
    ],
)
def test_score_then_label_then_correction_decide(
    given: Feedback, answer: str | None, correction: str | None, expected: bool | None
) -> None:
    assert grade(given, answer=answer, correction=correction) is expected
    assert is_gradeable(given) is (expected is not None)
