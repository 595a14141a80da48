"""From answers to per-item scores: exact match, accuracy over known labels, chrF, exact fields, invariance, latency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unicodedata import normalize

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.follow_ups import FOLLOW_UPS
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.chrf import chrf
from flyball.evaluation.measures.exact_fields import exact_fields, json_object
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.labels import KnownLabels, one_form
from flyball.records import Message, canonical_json


def body_of(messages: Sequence[Message], follow_ups: Sequence[str] = ()) -> dict[str, Any]:
    """What a client would send: the prompt path adds the rest; with what is asked on after its answer."""
    body: dict[str, Any] = {"messages": [{"role": message.role, "content": message.content} for message in messages]}
    return body | {FOLLOW_UPS: list(follow_ups)} if follow_ups else body


def key_of(messages: Sequence[Message], follow_ups: Sequence[str] = ()) -> str:
    """One key for one question, whatever suites it is in: it is asked once."""
    return hashlib.sha256(canonical_json(body_of(messages, follow_ups))).hexdigest()


def bodies_of(suites: Sequence[Suite]) -> dict[str, dict[str, Any]]:
    """Every question of the suites, once."""
    questions: list[tuple[Sequence[Message], Sequence[str]]] = []
    for item in (item for suite in suites for item in suite.items):
        questions.append((item.messages, item.follow_ups))
        questions += [(item.original, ())] if item.original is not None else []
    return {key_of(messages, later): body_of(messages, later) for messages, later in questions}


def labels_of(suite: Suite, known: Sequence[str]) -> KnownLabels:
    """The labels that a release may answer and a suite expects."""
    return KnownLabels([*known, *(item.expected for item in suite.items if item.expected is not None)])


def same(one: str, other: str) -> bool:
    """Whether two texts are equal in Unicode's form NFC, but for white space around them."""
    return one.strip() == other.strip() or normalize("NFC", one).strip() == normalize("NFC", other).strip()


def score_suite(
    suite: Suite, answers: Mapping[str, Answer], *, classification: bool, labels: Sequence[str] = ()
) -> Iterator[ItemScore]:
    """Scores of one suite, item by item; a case without an answer scores 0 and keeps the reason."""
    known = labels_of(suite, labels) if classification else KnownLabels(())
    has_fields = not classification and expects_objects(suite)
    for item in suite.items:
        if suite.kind == "invariance":
            yield from _invariance(suite.name, item, answers)
            continue
        answer = answers[key_of(item.messages, item.follow_ups)]
        if not known:
            yield from _free_answer(suite.name, item, answer, has_fields=has_fields)
        yield from _answer(suite.name, item, answer, known)


def expects_objects(suite: Suite) -> bool:
    """Whether most of the expected answers are JSON objects: then their fields are compared too."""
    objects = sum(item.expected is not None and json_object(item.expected) is not None for item in suite.items)
    return objects * 2 > len(suite.items)


def _free_answer(suite: str, item: Item, answer: Answer, *, has_fields: bool) -> Iterator[ItemScore]:
    """What is measured of an answer in free words: whether there is one, and how near it is to the expected one."""
    common: dict[str, Any] = {"suite": suite, "item": item.id, "slice": item.slice, "error": answer.error}
    text = "" if answer.error else answer.text
    yield ItemScore(measure="answered", score=float(bool(text.strip())), **common)
    if item.expected is None:
        return
    yield ItemScore(measure="chrf", score=chrf(text, item.expected), **common)
    if has_fields:
        wanted = json_object(item.expected)
        right = float(text.strip() == item.expected.strip()) if wanted is None else exact_fields(text, wanted)
        yield ItemScore(measure="exact_fields", score=right, **common)


def _answer(suite: str, item: Item, answer: Answer, labels: KnownLabels) -> Iterator[ItemScore]:
    expected = item.expected or ""
    right = answer.error is None and same(answer.text, expected)
    common: dict[str, Any] = {"suite": suite, "item": item.id, "slice": item.slice, "error": answer.error}
    if item.expected is not None:
        yield ItemScore(measure="exact_match", score=float(right), **common)
    if labels:
        found, expected = None if answer.error else labels.find(answer.text), one_form(expected)
        yield ItemScore(measure="accuracy", score=float(found == expected), expected=expected, answer=found, **common)
    yield ItemScore(measure="latency_ms", score=answer.total_ms, **common)


def _invariance(suite: str, item: Item, answers: Mapping[str, Answer]) -> Iterator[ItemScore]:
    assert item.original is not None
    before, after = answers[key_of(item.original)], answers[key_of(item.messages)]
    error = before.error or after.error
    kept = error is None and same(before.text, after.text)
    yield ItemScore(suite=suite, item=item.id, measure="invariance", score=float(kept), slice=item.slice, error=error)
