"""Texts of recorded requests, as far as the project lets them be read for a purpose. I/O: the ledger, the project key.

Sealed originals are opened only for what `gateway.recording.purposes` names; everything else reads redacted texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from flyball.errors import CorruptionError
from flyball.records import JSON
from flyball.security.sealing import SubjectKeys, unseal
from flyball.storage.payload_texts import payload_document
from flyball.storage.traffic import Payload, payload_of
from flyball.wiring import Project

Purpose = Literal["judging", "replay"]


def texts_of(project: Project, requests: Iterable[str], *, purpose: Purpose) -> dict[str, Mapping[str, JSON]]:
    """What was asked and answered, by request; one whose texts are erased or expired is left out."""
    keys = SubjectKeys(project.key) if purpose in project.settings.gateway.recording.purposes else None
    found = {}
    for name in requests:
        payload = payload_of(project.ledger, name)
        document = _document(project, payload, keys) if payload else {}
        if document:
            found[name] = document
    return found


def redacted_texts(project: Project, requests: Iterable[str]) -> dict[str, Mapping[str, JSON]]:
    """The same with personal data replaced, whatever the project permits: what people get to see."""
    payloads = ((name, payload_of(project.ledger, name)) for name in requests)
    documents = {name: payload_document(payload.redacted) for name, payload in payloads if payload}
    return {name: document for name, document in documents.items() if document}


def _document(project: Project, payload: Payload, keys: SubjectKeys | None) -> Mapping[str, JSON]:
    if keys is not None and payload.sealed is not None:
        with project.ledger.read() as connection:
            key = keys.get(connection, project.name, payload.subject)
        if key is not None:
            try:
                return payload_document(unseal(key, payload.sealed, context=payload.id.encode()))
            except CorruptionError:
                return payload_document(payload.redacted)  # one damaged seal must not stop the others
    return payload_document(payload.redacted)
