"""From answers to per-item scores: exact match, accuracy over known labels, chrF, exact fields, invariance, latency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flyball.evaluation.answering import Answer
from flyball.evaluation.chrf import chrf
from flyball.evaluation.exact_fields import exact_fields, json_object
from flyball.evaluation.items import ItemScore
from flyball.evaluation.suites import Item, Suite
from flyball.records import Message, canonical_json


def body_of(messages: Sequence[Message]) -> dict[str, Any]:
    """What a client would send: the prompt path adds the rest."""
    return {"messages": [{"role": message.role, "content": message.content} for message in messages]}


def key_of(messages: Sequence[Message]) -> str:
    """One key for one question, whatever suites it is in: it is asked once."""
    return hashlib.sha256(canonical_json(body_of(messages))).hexdigest()


def bodies_of(suites: Sequence[Suite]) -> dict[str, dict[str, Any]]:
    """Every question of the suites, once."""
    questions = (
        messages
        for suite in suites
        for item in suite.items
        for messages in (item.messages, item.original)
        if messages is not None
    )
    return {key_of(messages): body_of(messages) for messages in questions}


def normalised(text: str) -> str:
    """An answer as a label: case, white space around it and closing punctuation or quotes do not count."""
    return text.strip().strip("\"'`.!").strip().casefold()


def labels_of(suite: Suite, known: Sequence[str]) -> dict[str, str]:
    """The labels that a release may answer and a suite expects, by their normalised form."""
    expected = (item.expected for item in suite.items if item.expected is not None)
    return {normalised(label): label for label in (*known, *expected)}


def score_suite(
    suite: Suite, answers: Mapping[str, Answer], *, classification: bool, labels: Sequence[str] = ()
) -> Iterator[ItemScore]:
    """Scores of one suite, item by item; a case without an answer scores 0 and keeps the reason."""
    known = labels_of(suite, labels) if classification else {}
    has_fields = not classification and expects_objects(suite)
    for item in suite.items:
        if suite.kind == "invariance":
            yield from _invariance(suite.name, item, answers)
            continue
        answer = answers[key_of(item.messages)]
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


def _answer(suite: str, item: Item, answer: Answer, labels: Mapping[str, str]) -> Iterator[ItemScore]:
    expected = item.expected or ""
    right = answer.error is None and answer.text.strip() == expected.strip()
    common: dict[str, Any] = {"suite": suite, "item": item.id, "slice": item.slice, "error": answer.error}
    if item.expected is not None:
        yield ItemScore(measure="exact_match", score=float(right), **common)
    if labels:
        found = None if answer.error else labels.get(normalised(answer.text))
        yield ItemScore(measure="accuracy", score=float(found == expected), expected=expected, answer=found, **common)
    yield ItemScore(measure="latency_ms", score=answer.total_ms, **common)


def _invariance(suite: str, item: Item, answers: Mapping[str, Answer]) -> Iterator[ItemScore]:
    assert item.original is not None
    before, after = answers[key_of(item.original)], answers[key_of(item.messages)]
    error = before.error or after.error
    same = error is None and before.text.strip() == after.text.strip()
    yield ItemScore(suite=suite, item=item.id, measure="invariance", score=float(same), slice=item.slice, error=error)
