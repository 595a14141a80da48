"""Files entries of segments in the ledger's tables: record, sealed original, redacted text. I/O: the ledger.

An original is sealed under the key of its subject (the request's `user`), else under a key of its own, so that
erasure can destroy it; what is readable is redacted with the release's profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from flyball.errors import InputError, NotFoundError
from flyball.gateway.context import IngestContext
from flyball.gateway.segments import Entry, FeedbackEntry, RequestEntry
from flyball.privacy.redaction import redact
from flyball.records import Feedback, Release, RequestRecord, parse
from flyball.security.sealing import SubjectKeys, seal
from flyball.storage import tables, traffic

MS_PER_DAY = 86_400_000
DEFAULT = "default"


class Filing:
    """Puts entries of one project where they belong."""

    def __init__(self, context: IngestContext) -> None:
        self.context = context
        self._keys = SubjectKeys(context.project_key)
        self._profiles: dict[str, str] = {}

    def file(
        self, connection: Connection, entries: list[Entry], *, late_requests: Callable[[], Iterable[RequestEntry]]
    ) -> None:
        """Add all entries, requests first. `late_requests` are asked for only when a feedback misses its request."""
        for entry in entries:
            if isinstance(entry, RequestEntry):
                self._file_request(connection, entry)
        feedback = [entry for entry in entries if isinstance(entry, FeedbackEntry)]
        if any(self._request_of(connection, entry.feedback) is None for entry in feedback):
            for late in late_requests():
                self._file_request(connection, late)
        for entry in feedback:
            self._file_feedback(connection, entry)

    def _file_request(self, connection: Connection, entry: RequestEntry) -> None:
        record = entry.record
        if not traffic.add_request(connection, record):
            return
        texts: dict[str, Any] = {"messages": entry.messages, "answer": entry.answer}
        if entry.choices is not None:
            texts["choices"] = entry.choices
        self._add_payload(
            connection,
            identifier=record.id,
            subject=record.subject or record.id,
            texts=texts,
            redacted=redacted(texts, entry.redaction),
            at_ms=record.started_ms,
        )

    def _file_feedback(self, connection: Connection, entry: FeedbackEntry) -> None:
        feedback = entry.feedback
        request = self._request_of(connection, feedback)
        if request is not None and feedback.request is None:
            feedback = replace(feedback, request=request.id)
        if not traffic.add_feedback(connection, feedback) or not (feedback.has_correction or feedback.has_comment):
            return
        texts = {"correction": entry.correction, "comment": entry.comment}
        self._add_payload(
            connection,
            identifier=feedback.id,
            subject=(request.subject or request.id) if request else feedback.id,
            texts=texts,
            redacted=redacted(texts, self._profile_of(request)),
            at_ms=feedback.at_ms,
        )

    def _add_payload(
        self, connection: Connection, *, identifier: str, subject: str, texts: Any, redacted: str, at_ms: int
    ) -> None:
        project, recording = self.context.project, self.context.recording
        key = self._keys.get_or_create(connection, project, subject)
        traffic.add_payload(
            connection,
            id=identifier,
            project=project,
            subject=subject,
            sealed=seal(key, msgspec.json.encode(texts), context=identifier.encode()),
            redacted=redacted,
            expires_ms=at_ms + int(recording.sealed_days * MS_PER_DAY),
        )

    def _request_of(self, connection: Connection, feedback: Feedback) -> RequestRecord | None:
        identifier = feedback.request
        if identifier is None and feedback.client_id is not None:
            identifier = traffic.resolve_client_id(
                connection, self.context.project, feedback.key_id, feedback.client_id
            )
        if identifier is None:
            return None
        column = tables.requests.c
        query = select(column.body).where(column.id == identifier, column.project == self.context.project)
        body = connection.execute(query).scalar_one_or_none()
        return None if body is None else parse(bytes(body), RequestRecord)

    def _profile_of(self, request: RequestRecord | None) -> str:
        """The redaction profile of the release that answered."""
        if request is None:
            return DEFAULT
        if request.release not in self._profiles:
            try:
                record = self.context.ledger.get(request.release).record
            except (NotFoundError, InputError):
                return DEFAULT  # a bare upstream has no release in the ledger
            self._profiles[request.release] = record.input_redaction if isinstance(record, Release) else DEFAULT
        return self._profiles[request.release]


def redacted(texts: Any, profile: str) -> str:
    """JSON with personal data in every string replaced; "none" is not enough for what people can read."""
    return msgspec.json.encode(_redacted(texts, DEFAULT if profile == "none" else profile)).decode()


def _redacted(value: Any, profile: str) -> Any:
    if isinstance(value, str):
        return redact(value, profile).text
    if isinstance(value, dict):
        return {key: _redacted(item, profile) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, profile) for item in value]
    return value
