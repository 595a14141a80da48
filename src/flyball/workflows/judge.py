"""Judging by people: the sampled answers that wait, blind, and the verdicts on them. I/O: the ledger.

Nobody sees which release answered: an item is what was asked and what was answered, in an order that is random and
stays the same. A verdict is stored as feedback that names its judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, select

from flyball.gateway.feedback import FeedbackBody, feedback_id
from flyball.records import JSON, Feedback
from flyball.rollout.judged_answers import JudgingQueue
from flyball.security import audit
from flyball.security.principals import LOCAL
from flyball.storage import tables
from flyball.storage.ledger import now_ms
from flyball.storage.payload_texts import answer_text, same_answer
from flyball.storage.traffic import add_feedback
from flyball.wiring import Project
from flyball.workflows.request_texts import redacted_texts, texts_of

_IDS_PER_QUERY = 400


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line: a request and a score, or the right answer as label; what `judge open` printed beside is left alone."""

    request_id: Annotated[str, Meta(min_length=1, max_length=64)]
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    label: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    judge: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    messages: Any = None
    answer: Any = None
    choices: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How many verdicts are new, were known, or were left open; and what is wrong with which line."""

    recorded: int
    known: int
    open: int
    wrong: tuple[str, ...]


_LINE = msgspec.json.Decoder(VerdictLine)


def open_items(project: Project, *, limit: int) -> tuple[list[dict[str, JSON]], int]:
    """The first of the answers that wait for a verdict, with redacted texts, and how many wait in all."""
    waiting = JudgingQueue(project.ledger, project.settings.rollout).waiting(now_ms())
    documents = redacted_texts(project, waiting[:limit])
    return [item(name, documents[name]) for name in waiting[:limit] if name in documents], len(waiting)


def item(request: str, document: Mapping[str, JSON]) -> dict[str, JSON]:
    """What a judge gets to see of a request."""
    choices = {"choices": document["choices"]} if document.get("choices") else {}
    return {"request_id": request, "messages": document.get("messages"), "answer": answer_text(document), **choices}


def record_verdicts(project: Project, lines: Iterable[bytes], *, judge: str) -> Recorded:
    """Store verdicts, those that were stored already once; lines that are wrong are named and the others stored.

    `judge` names who judged where a line does not.
    """
    wrong: list[str] = []
    given = list(_parsed(lines, wrong))
    verdicts = [(number, line) for number, line in given if line.score is not None or line.label is not None]
    known = _known(project, [line.request_id for _, line in verdicts])
    wrong += [
        f"line {number}: no request {line.request_id}" for number, line in verdicts if line.request_id not in known
    ]
    good = [line for _, line in verdicts if line.request_id in known]
    truths = [line.request_id for line in good if line.score is None]
    answers = {name: answer_text(text) for name, text in texts_of(project, truths, purpose="judging").items()}
    with project.ledger.begin() as connection:
        new = sum(_store(project, connection, line, judge, answers.get(line.request_id)) for line in good)
    if new:
        audit.record(project.ledger, actor="local", action="judge", subject=judge, details={"verdicts": new})
    return Recorded(recorded=new, known=len(good) - new, open=len(given) - len(verdicts), wrong=tuple(wrong))


def _parsed(lines: Iterable[bytes], wrong: list[str]) -> Iterable[tuple[int, VerdictLine]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, _LINE.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            wrong.append(f"line {number}: {str(error).replace('`$.', '`')}")


def _known(project: Project, requests: Sequence[str]) -> set[str]:
    column = tables.requests.c
    found: set[str] = set()
    with project.ledger.read() as connection:
        for start in range(0, len(requests), _IDS_PER_QUERY):
            ids = requests[start : start + _IDS_PER_QUERY]
            query = select(column.id).where(column.project == project.name, column.id.in_(ids))
            found |= set(connection.execute(query).scalars())
    return found


def _store(project: Project, connection: Connection, line: VerdictLine, judge: str, answer: str | None) -> bool:
    """Whether the verdict is new; its id is the one that the gateway would have given it."""
    body = FeedbackBody(request_id=line.request_id, score=line.score, label=line.label, judge=line.judge or judge)
    score = line.score
    if score is None and line.label is not None and answer is not None:
        score = float(same_answer(answer, line.label))
    record = Feedback(
        id=feedback_id(project.key.mac_key, LOCAL.id, None, body),
        project=project.name,
        request=line.request_id,
        client_id=None,
        key_id=LOCAL.id,
        score=score,
        label=line.label,
        has_correction=False,
        has_comment=False,
        at_ms=now_ms(),
        judge=body.judge,
    )
    return add_feedback(connection, record)
