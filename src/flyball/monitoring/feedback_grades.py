"""Whether an answer was good, as one user's feedback says it.

In this order: a score (≥ .5 is good); a label that says so ("good", "bad" and their usual synonyms); a correction (the
same as the answer is good, a different one bad; bad also where the answer is no longer there to compare, so that
quality is never overstated). A comment alone, or another label, grades nothing. Nor does a judge's verdict: judges see
a sample that a rollout drew and may be stricter than users, so that their arrival would look like a fall in quality.
"""

from __future__ import annotations

from flyball.records import Feedback

GOOD_SCORE = 0.5
LABELS = {
    **dict.fromkeys(("good", "correct", "up", "thumbs_up", "positive", "yes"), True),
    **dict.fromkeys(("bad", "incorrect", "wrong", "down", "thumbs_down", "negative", "no"), False),
}


def is_gradeable(feedback: Feedback) -> bool:
    """Whether `grade` says anything about this feedback."""
    if feedback.judge is not None:
        return False
    return feedback.score is not None or feedback.has_correction or _label(feedback) is not None


def grade(feedback: Feedback, *, answer: str | None, correction: str | None) -> bool | None:
    """True: a good answer; False: a bad one; None: the feedback does not say."""
    if not is_gradeable(feedback):
        return None
    if feedback.score is not None:
        return feedback.score >= GOOD_SCORE
    label = _label(feedback)
    if label is not None:
        return label
    return answer is not None and correction is not None and same_text(answer, correction)


def same_text(one: str, other: str) -> bool:
    """Equal but for white space at the ends and between words."""
    return one.split() == other.split()


def _label(feedback: Feedback) -> bool | None:
    return LABELS.get((feedback.label or "").strip().lower())
