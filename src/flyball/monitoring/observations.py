"""What the running tests look at: requests and graded feedback as observations, in ledger order. I/O: reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, desc, select, union_all

from flyball.monitoring.feedback_grades import grade, is_gradeable
from flyball.records import Feedback, parse
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.payload_texts import answer_text, correction_text, payload_document, user_text
from flyball.storage.traffic import IS_TRAFFIC

ANSWERED = ("ok", "error", "cut")
"""Outcomes that say something about the release: not requests refused by limits, nor those the client gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answered request of a release: its place in the ledger, who asked (a keyed hash), and how it went."""

    seq: int
    request: str
    person: str | None
    outcome: str
    total_ms: float
    answer_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One request that somebody graded, at the place of the feedback that decided."""

    seq: int
    request: str
    person: str | None
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedBatch:
    """Graded requests, how far the feedback was read, and feedback whose request is not in the ledger yet."""

    graded: tuple[Graded, ...]
    through_seq: int
    pending: tuple[str, ...]
    full: bool


def answered_since(ledger: Ledger, *, route: str, release: str, after_seq: int, limit: int) -> list[Answered]:
    """Answered requests of one release on one route, oldest first."""
    column = tables.requests.c
    query = (
        select(column.seq, column.id, column.subject, column.outcome, column.total_ms, column.completion_tokens)
        .where(column.project == ledger.project, column.route == route, column.release == release)
        .where(column.seq > after_seq, column.outcome.in_(ANSWERED), IS_TRAFFIC)
        .order_by(column.seq)
        .limit(limit)
    )
    with ledger.read() as connection:
        return [
            Answered(
                seq=row.seq,
                request=row.id,
                person=row.subject,
                outcome=row.outcome,
                total_ms=row.total_ms,
                answer_tokens=row.completion_tokens,
            )
            for row in connection.execute(query)
        ]


def user_texts(ledger: Ledger, requests: Sequence[str]) -> dict[str, str]:
    """The redacted user message of each request that still has one."""
    with ledger.read() as connection:
        documents = _documents(connection, ledger.project, requests)
    texts = {name: user_text(payload_document(body)) for name, body in documents.items()}
    return {name: text for name, text in texts.items() if text}


def texts_and_answers(ledger: Ledger, requests: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The redacted user message and the answer of each request that still has both."""
    with ledger.read() as connection:
        documents = _documents(connection, ledger.project, requests)
    found = {name: payload_document(body) for name, body in documents.items()}
    both = {name: (user_text(document), answer_text(document)) for name, document in found.items()}
    return {name: (text, answer) for name, (text, answer) in both.items() if text and answer is not None}


def graded_since(
    ledger: Ledger, *, route: str, release: str, after_seq: int, pending: Sequence[str], limit: int
) -> GradedBatch:
    """Requests of one release that feedback after `after_seq`, or `pending` feedback, grades for the first time."""
    column = tables.feedback.c
    fresh = select(tables.feedback).where(column.project == ledger.project, column.seq > after_seq)
    retry = select(tables.feedback).where(column.id.in_(pending))
    with ledger.read() as connection:
        rows = connection.execute(fresh.order_by(column.seq).limit(limit)).all()
        through = rows[-1].seq if rows else after_seq
        full = len(rows) == limit
        rows = [*(connection.execute(retry.order_by(column.seq)).all() if pending else ()), *rows]
        said = [(row.seq, parse(bytes(row.body), Feedback)) for row in rows]
        asked = _requests_of(connection, ledger.project, said)
        waiting = tuple(feedback.id for _, feedback in said if is_gradeable(feedback) and feedback.id not in asked)
        ours = {
            feedback.id: row
            for _, feedback in said
            if (row := asked.get(feedback.id)) and (row.route, row.release) == (route, release)
        }
        graded = _grade(connection, ledger.project, [(seq, item) for seq, item in said if item.id in ours], ours)
        done = _graded_before(connection, [item.request for item in graded], after_seq, frozenset(pending))
    new = tuple(item for item in graded if item.request not in done)
    return GradedBatch(graded=new, through_seq=through, pending=waiting, full=full)


def _requests_of(connection: Connection, project: str, said: Iterable[tuple[int, Feedback]]) -> dict[str, Any]:
    """The row of the request that each feedback is about, by feedback id; also for those named by the caller's id."""
    column = tables.requests.c
    found: dict[str, Any] = {}
    columns = select(column.id, column.route, column.release, column.subject).where(column.project == project)
    by_id = {item.request for _, item in said if item.request}
    rows = {row.id: row for row in connection.execute(columns.where(column.id.in_(by_id)))} if by_id else {}
    for _, item in said:
        row = rows.get(item.request or "")
        if item.request is None and item.client_id is not None:
            own = columns.where(column.key_id == item.key_id, column.client_id == item.client_id)
            row = connection.execute(own.order_by(column.seq.desc()).limit(1)).one_or_none()
        if row is not None:
            found[item.id] = row
    return found


def _grade(
    connection: Connection, project: str, said: Sequence[tuple[int, Feedback]], asked: dict[str, Any]
) -> list[Graded]:
    """One grade per request: its latest feedback that grades at all decides."""
    corrected = [item for _, item in said if item.has_correction]
    names = {item.id for item in corrected} | {asked[item.id].id for item in corrected}
    documents = {name: payload_document(body) for name, body in _documents(connection, project, names).items()}
    latest: dict[str, Graded] = {}
    for seq, item in sorted(said, key=lambda pair: pair[0]):
        row = asked[item.id]
        good = grade(
            item,
            answer=answer_text(documents.get(row.id, {})),
            correction=correction_text(documents.get(item.id, {})),
        )
        if good is not None:
            latest[row.id] = Graded(seq=seq, request=row.id, person=row.subject, good=good)
    return sorted(latest.values(), key=lambda one: one.seq)


def _graded_before(
    connection: Connection, requests: Collection[str], after_seq: int, pending: Collection[str]
) -> set[str]:
    """Those requests that an earlier pass has counted already: each counts once, or the test would lose its promise."""
    column = tables.feedback.c
    if not requests:
        return set()
    query = select(column.body).where(column.request.in_(requests), column.seq <= after_seq)
    earlier = [parse(bytes(row.body), Feedback) for row in connection.execute(query)]
    return {item.request for item in earlier if item.request and item.id not in pending and is_gradeable(item)}


def _documents(connection: Connection, project: str, names: Collection[str]) -> dict[str, str]:
    column = tables.payloads.c
    query = select(column.id, column.redacted).where(column.project == project, column.redacted.is_not(None))
    found: dict[str, str] = {}
    ordered = sorted(names)
    for start in range(0, len(ordered), 500):  # SQLite's limit on bound values is far above this, PostgreSQL's too
        chunk = ordered[start : start + 500]
        found.update((row.id, row.redacted) for row in connection.execute(query.where(column.id.in_(chunk))))
    return found


def latest_grades(ledger: Ledger, release: str, *, limit: int) -> list[Graded]:
    """Grades of the newest graded requests of a release, by their latest feedback."""
    request, said = tables.requests.c, tables.feedback.c
    by_id = said.request == request.id
    by_own_id = said.request.is_(None) & (said.key_id == request.key_id) & (said.client_id == request.client_id)
    found = (
        select(said.seq.label("seq"), said.body, request.id, request.subject)
        .join(tables.requests, about)
        .where(said.project == ledger.project, request.project == ledger.project, request.release == release)
        for about in (by_id, by_own_id)  # one query for each: an OR would use no index
    )
    query = union_all(*found).order_by(desc("seq")).limit(limit)
    with ledger.read() as connection:
        rows = connection.execute(query).all()
        said_of = [(row.seq, parse(bytes(row.body), Feedback)) for row in rows]
        asked = {feedback.id: row for (_, feedback), row in zip(said_of, rows, strict=True)}
        return _grade(connection, ledger.project, said_of, asked)
