"""Answers that people corrected, as far as the ledger still knows them, the latest per request. I/O: reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Select, func, or_, select

from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.payload_texts import answer_text, correction_text, payload_document, same_answer, user_text
from flyball.storage.traffic import Payload

NEWEST = 50_000
"""Corrections looked at, at most."""

ReadPayload = Callable[[Payload], str | bytes | None]
"""The JSON of a payload; by default its redacted form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One request's text and what its answer should have been; people and keys by hash and id."""

    request: str
    feedback: str
    at_ms: int
    text: str
    label: str
    subject: str | None
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Usable corrections in the order of their requests, and how many were not usable, by reason."""

    usable: tuple[Correction, ...]
    skipped: Mapping[str, int]


def redacted(payload: Payload) -> str | None:
    """The ReadPayload that never sees personal data."""
    return payload.redacted


def find_corrections(ledger: Ledger, *, route: str | None, read: ReadPayload = redacted) -> Corrections:
    """Corrections on a route (None: every route) that differ from the answer; those of erased people are left out."""
    skipped: Counter[str] = Counter()
    found: dict[str, Correction] = {}
    erased = suppressed(ledger)
    with ledger.read() as connection:
        rows = connection.execute(_said(ledger, route).order_by(tables.feedback.c.seq.desc()).limit(NEWEST)).all()
    for row in rows:
        if row.subject is not None and row.subject in erased:
            skipped["erased"] += 1
            continue
        said = payload_document(read(_payload(row, "said")))
        asked = payload_document(read(_payload(row, "asked")))
        label, text = correction_text(said), user_text(asked)
        if label is None or not label.strip():
            continue  # a comment without a correction
        if row.request in found:
            skipped["superseded"] += 1
        elif not text or not text.strip():
            skipped["no_text"] += 1
        elif (answer := answer_text(asked)) is not None and same_answer(answer, label):
            skipped["same_as_answer"] += 1
        else:
            found[row.request] = Correction(
                request=row.request,
                feedback=row.feedback,
                at_ms=row.at_ms,
                text=text,
                label=label.strip(),
                subject=row.subject,
                key_id=row.key_id,
            )
    return Corrections(usable=tuple(found[name] for name in sorted(found)), skipped=dict(sorted(skipped.items())))


def count_candidates(ledger: Ledger, *, route: str | None) -> int:
    """An upper bound of the corrections, by one cheap query: feedback that came with words."""
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(_said(ledger, route).subquery())).scalar_one()


def suppressed(ledger: Ledger) -> frozenset[str]:
    """Keyed hashes of the people (and rows) that were erased."""
    column = tables.suppressions.c
    with ledger.read() as connection:
        return frozenset(connection.execute(select(column.hash).where(column.project == ledger.project)).scalars())


def _said(ledger: Ledger, route: str | None) -> Select[tuple[object, ...]]:
    """Feedback with words, its payload and that of its request."""
    feedback, request = tables.feedback.c, tables.requests.c
    said, asked = tables.payloads.alias("said"), tables.payloads.alias("asked")
    about = or_(
        feedback.request == request.id,
        feedback.request.is_(None) & (feedback.key_id == request.key_id) & (feedback.client_id == request.client_id),
    )
    query = (
        select(
            feedback.seq,
            feedback.id.label("feedback"),
            feedback.at_ms,
            feedback.key_id,
            request.id.label("request"),
            request.subject,
            *(
                column.label(f"{name}_{column.name}")
                for name, one in (("said", said), ("asked", asked))
                for column in one.c
            ),
        )
        .join(tables.requests, about)
        .join(said, said.c.id == feedback.id)
        .join(asked, asked.c.id == request.id)
        .where(feedback.project == ledger.project, request.project == ledger.project)
    )
    return query if route is None else query.where(request.route == route)


def _payload(row: object, name: str) -> Payload:
    sealed = getattr(row, f"{name}_sealed")
    return Payload(
        id=getattr(row, f"{name}_id"),
        subject=getattr(row, f"{name}_subject"),
        sealed=None if sealed is None else bytes(sealed),
        redacted=getattr(row, f"{name}_redacted"),
        expires_ms=getattr(row, f"{name}_expires_ms"),
    )
