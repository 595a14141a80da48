"""Requests in pages, with what was asked, answered and said of them. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flyball.console.conversation import answer_line, prompt_line, turns
from flyball.console.record_facts import State
from flyball.records import Feedback, Release, RequestRecord, parse
from flyball.storage import deployments, tables, traffic
from flyball.storage.ledger import Ledger

PAGE = 50
OUTCOMES = ("ok", "error", "cut", "aborted", "refused")
TONES: dict[str, State] = {"ok": "ok", "error": "bad", "cut": "bad", "aborted": "attention", "refused": "attention"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line of the list; `verdict`: what the newest feedback says, if any."""

    seq: int
    record: RequestRecord
    tone: State
    asked: str
    answered: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the list is narrowed to; None: not narrowed."""

    route: str | None = None
    release: str | None = None
    outcome: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPage:
    """Some answers, newest first, and where the next page begins (None: this is the last)."""

    answers: tuple[Answer, ...]
    older: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the filters offer."""

    routes: tuple[str, ...]
    releases: tuple[str, ...]
    outcomes: tuple[str, ...] = OUTCOMES


def read_answers(
    ledger: Ledger,
    filters: Filters | None = None,
    *,
    route: str | None = None,
    before_seq: int | None = None,
    limit: int = PAGE,
) -> AnswerPage:
    """One page of requests."""
    wanted = filters or Filters(route=route)
    found = traffic.search_requests(
        ledger,
        route=wanted.route,
        release=wanted.release,
        outcome=wanted.outcome,
        text=wanted.text,
        limit=limit + 1,
        before_seq=before_seq,
    )
    shown = found[:limit]
    names = [seen.record.id for seen in shown]
    texts, verdicts = _texts(ledger, names), _verdicts(ledger, names)
    answers = tuple(
        _answer(seen.seq, seen.record, texts.get(seen.record.id), verdicts.get(seen.record.id, "")) for seen in shown
    )
    return AnswerPage(answers=answers, older=shown[-1].seq if len(found) > limit else None)


def read_choices(ledger: Ledger) -> Choices:
    """The routes and the newest releases."""
    releases = ledger.find(Release, limit=30)
    return Choices(routes=tuple(deployments.routes(ledger)), releases=tuple(stored.id for stored in releases))


def _answer(seq: int, record: RequestRecord, redacted: str | None, verdict: str) -> Answer:
    said = turns(redacted)
    return Answer(
        seq=seq,
        record=record,
        tone=TONES[record.outcome],
        asked=prompt_line(said),
        answered=answer_line(said),
        verdict=verdict,
    )


def _texts(ledger: Ledger, names: Sequence[str]) -> dict[str, str | None]:
    column = tables.payloads.c
    query = select(column.id, column.redacted).where(column.project == ledger.project, column.id.in_(names))
    with ledger.read() as connection:
        return {row.id: row.redacted for row in connection.execute(query)}


def _verdicts(ledger: Ledger, names: Sequence[str]) -> dict[str, str]:
    """The newest feedback of each request in a word."""
    column = tables.feedback.c
    query = select(column.request, column.body).where(column.request.in_(names)).order_by(column.seq)
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    return {row.request: in_a_word(parse(bytes(row.body), Feedback)) for row in rows}


def in_a_word(feedback: Feedback) -> str:
    """A piece of feedback in a word."""
    if feedback.score is not None:
        return "good" if feedback.score >= 0.5 else "bad"
    return feedback.label or ("corrected" if feedback.has_correction else "comment")
