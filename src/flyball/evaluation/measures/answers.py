"""Answers against what is expected: exact match, labels, words and characters in common, fields, latency. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from unicodedata import normalize

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import BRIER
from flyball.evaluation.measures import confidence
from flyball.evaluation.measures.bleu import bleu
from flyball.evaluation.measures.chrf import chrf
from flyball.evaluation.measures.exact_fields import exact_fields, json_object
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.rouge_l import rouge_l
from flyball.evaluation.measures.summaries import GRADED
from flyball.evaluation.measures.token_f1 import token_f1
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.labels import KnownLabels, one_form


def labels_of(suite: Suite, known: Sequence[str]) -> KnownLabels:
    """The labels that a release may answer and a suite expects."""
    return KnownLabels([*known, *(item.expected for item in suite.items if item.expected is not None)])


def same(one: str, other: str) -> bool:
    """Whether two texts are equal in Unicode's form NFC, but for white space around them."""
    return one.strip() == other.strip() or normalize("NFC", one).strip() == normalize("NFC", other).strip()


def score(suite: Suite, answers: Mapping[str, Answer], known: Known) -> Iterator[ItemScore]:
    """Scores of one suite, item by item; a case without an answer scores 0 and keeps the reason."""
    labels = labels_of(suite, known.labels) if known.classification else KnownLabels(())
    has_fields = not known.classification and expects_objects(suite)
    has_confidence = bool(labels) and not confidence.why_not(suite, answers)
    for item in suite.items:
        answer = answers[item.key]
        if not labels:
            yield from _free_answer(suite, item, answer, has_fields=has_fields)
        yield from _answer(suite, item, answer, labels)
        if has_confidence:
            yield confidence.scored_of(
                suite, item, answer, right=labels.find(answer.text) == one_form(item.expected or "")
            )


def expects_objects(suite: Suite) -> bool:
    """Whether most of the expected answers are JSON objects: then their fields are compared too."""
    objects = sum(item.expected is not None and json_object(item.expected) is not None for item in suite.items)
    return objects * 2 > len(suite.items)


def _free_answer(suite: Suite, item: Item, answer: Answer, *, has_fields: bool) -> Iterator[ItemScore]:
    """What is measured of an answer in free words: whether there is one, and how near it is to the expected one."""
    text, error = "" if answer.error else answer.text, answer.error
    yield scored(suite, item, "answered", float(bool(text.strip())), error=error)
    if item.expected is None:
        return
    yield scored(suite, item, "chrf", chrf(text, item.expected), error=error)
    yield scored(suite, item, "token_f1", 0.0 if error else token_f1(text, item.expected), error=error)
    yield scored(suite, item, "rouge_l", rouge_l(text, item.expected), error=error)
    if (found := bleu(text, item.expected)) is not None:
        yield scored(suite, item, "bleu", found, error=error)
    if has_fields:
        wanted = json_object(item.expected)
        right = float(text.strip() == item.expected.strip()) if wanted is None else exact_fields(text, wanted)
        yield scored(suite, item, "exact_fields", right, error=error)


def _answer(suite: Suite, item: Item, answer: Answer, labels: KnownLabels) -> Iterator[ItemScore]:
    expected, error = item.expected or "", answer.error
    if item.expected is not None:
        yield scored(suite, item, "exact_match", float(error is None and same(answer.text, expected)), error=error)
    if labels:
        found, expected = None if error else labels.find(answer.text), one_form(expected)
        right = float(found == expected)
        yield scored(suite, item, "accuracy", right, error=error, expected=expected, answer=found)
    yield scored(suite, item, "latency_ms", answer.total_ms, error=error)


FAMILY = Family(
    kind="answer",
    score=score,
    measures=("exact_match", "accuracy", "macro_f1", "answered", BRIER, *GRADED),
    graded=GRADED,
    summaries={BRIER: confidence.summarise},
)
