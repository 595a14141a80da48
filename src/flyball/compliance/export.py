"""Everything held about one person, readable, for that person. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import select

from flyball.compliance.subjects import Person, former_of, open_payload, person_of
from flyball.records import JSON, RequestRecord
from flyball.records.canonical import to_plain
from flyball.security.keys import ProjectKey
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms
from flyball.storage.payload_texts import payload_document
from flyball.storage.traffic import feedback_of, payload_of, requests_of_subject

Holding = Callable[[Person], Iterable[Mapping[str, JSON]]]
"""What a store outside the ledger holds of a person (rows of sources and dataset versions); handed in by workflows."""


def export_subject(
    ledger: Ledger, *, project_key: ProjectKey, subject: str, others: Mapping[str, Holding] | None = None
) -> dict[str, JSON]:
    """One JSON document: requests with their original texts where still kept, feedback, erasures, and `others`."""
    person = person_of(project_key, subject)
    return {
        "project": ledger.project,
        "subject": person.subject,
        "subject_hash": person.hash,
        "exported_ms": now_ms(),
        "requests": [
            _request(ledger, project_key, seen.record)
            for one in filter(None, (person, former_of(project_key, subject)))
            for seen in requests_of_subject(ledger, one.hash)
        ],
        "erasures": _erasures(ledger, person),
        "others": {name: [dict(item) for item in holding(person)] for name, holding in (others or {}).items()},
    }


def _request(ledger: Ledger, project_key: ProjectKey, request: RequestRecord) -> dict[str, JSON]:
    return {
        "record": to_plain(request),
        "texts": _texts(ledger, project_key, request.id),
        "feedback": [
            {"record": to_plain(one), "texts": _texts(ledger, project_key, one.id)}
            for one in feedback_of(ledger, request.id)
        ],
    }


def _texts(ledger: Ledger, project_key: ProjectKey, name: str) -> dict[str, JSON]:
    """The original where it is still sealed, else the redacted text; empty when both are gone."""
    payload = payload_of(ledger, name)
    if payload is None:
        return {}
    original = open_payload(ledger, project_key, payload)
    return dict(original if original is not None else payload_document(payload.redacted))


def _erasures(ledger: Ledger, person: Person) -> list[dict[str, JSON]]:
    column = tables.erasures.c
    query = select(column.old, column.new, column.effect, column.receipt, column.at_ms).where(
        column.project == ledger.project, column.subject == person.hash
    )
    with ledger.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query.order_by(column.seq))]
