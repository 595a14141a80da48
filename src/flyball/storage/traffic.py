"""Requests, what people said of them, and their payloads. I/O: the ledger.

Adding twice adds once. Payloads are the only part with personal content; everything else stands on canonical records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, select

from flyball.errors import NotFoundError
from flyball.records import Feedback, RequestRecord, canonical_bytes, parse
from flyball.storage import tables
from flyball.storage.batches import insert_many_new
from flyball.storage.ledger import Ledger, insert_new

R = TypeVar("R", RequestRecord, Feedback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[R]):
    """A record with its place in its table's order."""

    seq: int
    record: R


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The texts of a request or feedback: sealed as they came, and as JSON with personal data replaced."""

    id: str
    subject: str
    sealed: bytes | None
    redacted: str | None
    expires_ms: int


def add_requests(connection: Connection, project: str, records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Add many requests in two statements; those that were not there already."""
    column = tables.requests.c
    names = [record.id for record in records]
    query = select(column.id).where(column.project == project, column.id.in_(names))
    known = set(connection.execute(query).scalars())
    fresh = list({record.id: record for record in records if record.id not in known}.values())
    rows = [
        {name: getattr(record, name) for name in _REQUEST_COLUMNS}
        | {"at_ms": record.started_ms, "body": canonical_bytes(record)}
        for record in fresh
    ]
    insert_many_new(connection, tables.requests, rows)
    return fresh


def add_payloads(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add many payloads in one statement: rows of `payloads`, whose subject names the sealing key."""
    insert_many_new(connection, tables.payloads, rows)


def add_feedback(connection: Connection, record: Feedback) -> bool:
    """Add feedback; False when it was there already."""
    values = {name: getattr(record, name) for name in _FEEDBACK_COLUMNS}
    return insert_new(connection, tables.feedback, values | {"body": canonical_bytes(record)})


def get_request(ledger: Ledger, id: str) -> RequestRecord:
    """The request with this id; NotFoundError otherwise."""
    query = _requests(ledger).where(tables.requests.c.id == id)
    found = _seen(ledger, query, RequestRecord)
    if not found:
        raise NotFoundError(
            f"no request {id} in project {ledger.project}", cure="see the header x-flyball-request-id of an answer"
        )
    return found[0].record


def requests_since(
    ledger: Ledger, *, route: str | None = None, release: str | None = None, after_seq: int = 0, limit: int = 1000
) -> list[Seen[RequestRecord]]:
    """Requests after a place in the order, oldest first."""
    column = tables.requests.c
    query = _requests(ledger).where(column.seq > after_seq).order_by(column.seq).limit(limit)
    if route is not None:
        query = query.where(column.route == route)
    if release is not None:
        query = query.where(column.release == release)
    return _seen(ledger, query, RequestRecord)


def search_requests(
    ledger: Ledger,
    *,
    route: str | None = None,
    release: str | None = None,
    outcome: str | None = None,
    text: str | None = None,
    limit: int = 100,
    before_seq: int | None = None,
) -> list[Seen[RequestRecord]]:
    """Requests before a place in the order, newest first; `text` is looked for in the redacted payload."""
    column = tables.requests.c
    query = _requests(ledger).order_by(column.seq.desc()).limit(limit)
    wanted = ((column.route, route), (column.release, release), (column.outcome, outcome))
    for field, value in wanted:
        if value is not None:
            query = query.where(field == value)
    if before_seq is not None:
        query = query.where(column.seq < before_seq)
    if text is not None:
        query = query.join(tables.payloads, tables.payloads.c.id == column.id)
        query = query.where(tables.payloads.c.redacted.icontains(text, autoescape=True))
    return _seen(ledger, query, RequestRecord)


def requests_of_subject(ledger: Ledger, subject: str) -> list[Seen[RequestRecord]]:
    """Every request of one person (by keyed hash), oldest first."""
    column = tables.requests.c
    return _seen(ledger, _requests(ledger).where(column.subject == subject).order_by(column.seq), RequestRecord)


def feedback_of(ledger: Ledger, request_id: str) -> list[Feedback]:
    """What was said of one request, oldest first."""
    column = tables.feedback.c
    query = _feedback(ledger).where(column.request == request_id).order_by(column.seq)
    return [seen.record for seen in _seen(ledger, query, Feedback)]


def payload_of(ledger: Ledger, id: str) -> Payload | None:
    """The payload of a request or feedback; None when there is none or it was erased."""
    column = tables.payloads.c
    with ledger.read() as connection:
        query = select(tables.payloads).where(column.id == id, column.project == ledger.project)
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    sealed = None if row.sealed is None else bytes(row.sealed)
    return Payload(id=row.id, subject=row.subject, sealed=sealed, redacted=row.redacted, expires_ms=row.expires_ms)


def redacted_of(ledger: Ledger, ids: Sequence[str]) -> dict[str, str]:
    """By id: the redacted payloads that are there and were not erased, as JSON."""
    column = tables.payloads.c
    query = select(column.id, column.redacted).where(
        column.project == ledger.project, column.id.in_(ids), column.redacted.is_not(None)
    )
    with ledger.read() as connection:
        return {row.id: row.redacted for row in connection.execute(query)}


def resolve_client_id(connection: Connection, project: str, key_id: str, client_id: str) -> str | None:
    """The newest request that this key sent under the caller's own id."""
    column = tables.requests.c
    query = (
        select(column.id)
        .where(column.project == project, column.key_id == key_id, column.client_id == client_id)
        .order_by(column.seq.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


IS_TRAFFIC = tables.requests.c.variant != "shadow"
"""Requests that somebody got an answer to; the copies that a shadow gets are none."""

_REQUEST_COLUMNS = tuple(column.name for column in tables.requests.c if column.name not in {"seq", "at_ms", "body"})
_FEEDBACK_COLUMNS = tuple(column.name for column in tables.feedback.c if column.name not in {"seq", "body"})


def _requests(ledger: Ledger) -> Select[Any]:
    column = tables.requests.c
    return select(column.seq, column.body).where(column.project == ledger.project)


def _feedback(ledger: Ledger) -> Select[Any]:
    column = tables.feedback.c
    return select(column.seq, column.body).where(column.project == ledger.project)


def _seen(ledger: Ledger, query: Select[Any], kind: type[R]) -> list[Seen[R]]:
    with ledger.read() as connection:
        return [Seen(seq=row.seq, record=parse(bytes(row.body), kind)) for row in connection.execute(query)]
