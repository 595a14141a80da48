"""Files entries of segments in the ledger's tables: record, sealed original, redacted text. I/O: the ledger.

An original is sealed under the key of its subject (the request's `user`), else under a key of its own, so that
erasure can destroy it; what is readable is redacted with the release's profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.segment_format import Entry, FeedbackEntry, RequestEntry
from flyball.privacy.redaction import redact
from flyball.records import Release, RequestRecord
from flyball.security.sealing import SubjectKeys, seal, unseal
from flyball.storage import tables, traffic
from flyball.storage.payload_texts import answer_text, payload_document, same_answer
from flyball.telemetry import log

HIDDEN = "<HIDDEN>"
"""Stands for a text that redaction failed on; the sealed original is whole."""
DEEPEST = 192
"""Levels of what was asked or said that are filed: a client must not stop the ingester by the depth of its JSON."""
MS_PER_DAY = 86_400_000
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Owner:
    """What a feedback needs to know of its request: whose key seals it, and which release answered."""

    request: str
    subject: str
    release: str


@dataclass(frozen=True, slots=True)
class Filed:
    """What filing did: requests that were not there before, and feedback whose request is not there yet."""

    added: list[RequestRecord]
    orphans: list[FeedbackEntry]


class LedgerWriter:
    """Puts entries of one project where they belong."""

    def __init__(self, context: IngestContext) -> None:
        self.context = context
        self._keys = SubjectKeys(context.project_key)
        self._profiles: dict[str, str] = {}

    def file(self, connection: Connection, entries: Iterable[Entry], *, keep_orphans: bool = False) -> Filed:
        """Add entries, requests first; feedback whose request is not there is given back, or kept without one."""
        requests, feedback = [], []
        for entry in entries:
            if isinstance(entry, RequestEntry):
                requests.append(entry)
            else:
                feedback.append(entry)
        added = self._file_requests(connection, requests)
        owners = self._owners(connection, feedback) if feedback else {}
        orphans = []
        for item in feedback:
            owner = owners.get(item.feedback.id)
            if owner is None and not keep_orphans:
                orphans.append(item)
            else:
                self._file_feedback(connection, item, owner)
        return Filed(added, orphans)

    def _file_requests(self, connection: Connection, entries: list[RequestEntry]) -> list[RequestRecord]:
        """In a handful of statements, however many there are: this is what the ingester's speed hangs on."""
        if not entries:
            return []
        project = self.context.project
        added = traffic.add_requests(connection, project, [entry.record for entry in entries])
        fresh = {record.id: record for record in added}
        keys = self._keys.get_or_create_many(connection, project, map(_subject_of, fresh.values()))
        rows = []
        for entry in entries:
            record = fresh.pop(entry.record.id, None)
            if record is None:
                continue
            texts: dict[str, Any] = {"messages": entry.messages, "answer": entry.answer}
            if entry.choices is not None:
                texts["choices"] = entry.choices
            subject = _subject_of(record)
            rows.append(
                self._payload(
                    identifier=record.id,
                    subject=subject,
                    key=keys[subject],
                    texts=texts,
                    profile=entry.redaction,
                    at_ms=record.started_ms,
                )
            )
        traffic.add_payloads(connection, rows)
        return added

    def _file_feedback(self, connection: Connection, entry: FeedbackEntry, owner: Owner | None) -> None:
        feedback = entry.feedback
        if owner is not None and feedback.request is None:
            feedback = replace(feedback, request=owner.request)
        if owner is not None and feedback.judge is not None and feedback.score is None:
            feedback = replace(feedback, score=self._agreement(connection, owner, entry))
        if not traffic.add_feedback(connection, feedback) or not (feedback.has_correction or feedback.has_comment):
            return
        subject = owner.subject if owner else feedback.id
        payload = self._payload(
            identifier=feedback.id,
            subject=subject,
            key=self._keys.get_or_create_many(connection, self.context.project, [subject])[subject],
            texts={"correction": entry.correction, "comment": entry.comment},
            profile=self._profile_of(owner.release) if owner else DEFAULT,
            at_ms=feedback.at_ms,
        )
        traffic.add_payloads(connection, [payload])

    def _agreement(self, connection: Connection, owner: Owner, entry: FeedbackEntry) -> float | None:
        """1 where the answer is what a judge calls right, word for word; None where the answer is gone."""
        column = tables.payloads.c
        sealed = connection.execute(select(column.sealed).where(column.id == owner.request)).scalar_one_or_none()
        key = self._keys.get(connection, self.context.project, owner.subject)
        truth = entry.correction or entry.feedback.label
        if sealed is None or key is None or truth is None:
            return None
        try:
            answer = answer_text(payload_document(unseal(key, bytes(sealed), context=owner.request.encode())))
        except CorruptionError:
            return None  # a damaged seal must not stop the ingester
        return None if answer is None else float(same_answer(answer, truth))

    def _payload(
        self, *, identifier: str, subject: str, key: bytes, texts: Any, profile: str, at_ms: int
    ) -> dict[str, object]:
        return {
            "id": identifier,
            "project": self.context.project,
            "subject": subject,
            "sealed": seal(key, _encoded(texts), context=identifier.encode()),
            "redacted": redacted(texts, profile),
            "expires_ms": at_ms + int(self.context.recording.sealed_days * MS_PER_DAY),
        }

    def _owners(self, connection: Connection, entries: list[FeedbackEntry]) -> dict[str, Owner]:
        """By feedback: the request that it speaks of, where the ledger has it."""
        project = self.context.project
        named: dict[str, str] = {}
        for feedback in (entry.feedback for entry in entries):
            request = feedback.request
            if request is None and feedback.client_id is not None:
                request = traffic.resolve_client_id(connection, project, feedback.key_id, feedback.client_id)
            if request is not None:
                named[feedback.id] = request
        column = tables.requests.c
        query = select(column.id, column.subject, column.release)
        found = {
            row.id: Owner(row.id, row.subject or row.id, row.release)
            for row in connection.execute(query.where(column.project == project, column.id.in_(set(named.values()))))
        }
        return {feedback: found[request] for feedback, request in named.items() if request in found}

    def _profile_of(self, release: str) -> str:
        """The redaction profile of the release that answered."""
        if release not in self._profiles:
            try:
                record = self.context.ledger.get(release).record
            except (NotFoundError, InputError):
                return DEFAULT  # a bare upstream has no release in the ledger
            self._profiles[release] = record.input_redaction if isinstance(record, Release) else DEFAULT
        return self._profiles[release]


def _subject_of(record: RequestRecord) -> str:
    """Whose key seals it: the person's, else one for this request alone."""
    return record.subject or record.id


def _encoded(texts: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(texts)
    except RecursionError:
        return msgspec.json.encode(dict.fromkeys(texts, HIDDEN))


def redacted(texts: Any, profile: str) -> str:
    """JSON with personal data in every string replaced; "none" is not enough for what people can read."""
    return msgspec.json.encode(_redacted(texts, DEFAULT if profile == "none" else profile)).decode()


def _redacted(value: Any, profile: str, level: int = 0) -> Any:
    if isinstance(value, str):
        return _redacted_text(value, profile)
    if level > DEEPEST and isinstance(value, dict | list):
        return HIDDEN
    if isinstance(value, dict):
        return {key: _redacted(item, profile, level + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, profile, level + 1) for item in value]
    return value


def _redacted_text(text: str, profile: str) -> str:
    try:
        return redact(text, profile).text
    except Exception as error:  # noqa: BLE001 - one text must not stop all records, nor be readable as it is
        log.error("a text of %d characters could not be redacted and is hidden: %s", len(text), type(error).__name__)
        return HIDDEN
