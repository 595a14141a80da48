"""A person as compliance sees one: by the name outside, and by the keyed hash that records use; and what is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.errors import CorruptionError, InputError
from flyball.records import JSON
from flyball.records.identifiers import canonical_text
from flyball.security.keys import ProjectKey
from flyball.security.sealing import SubjectKeys, unseal
from flyball.storage.ledger import Ledger
from flyball.storage.payload_texts import payload_document
from flyball.storage.traffic import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`subject`: the name that sources and clients use; `hash`: what stands in rows, requests and receipts."""

    subject: str
    hash: str


def person_of(project_key: ProjectKey, subject: str) -> Person:
    """The person of this name, in whichever of its spellings; InputError for what names nobody."""
    name = canonical_text(subject)
    if name is None:
        raise InputError(f"{subject!r} names nobody", cure="flyball subject erase SUBJECT")
    return Person(subject=name, hash=project_key.hash("subject", name))


def former_of(project_key: ProjectKey, subject: str) -> Person | None:
    """The person under a spelling that is not the canonical one, as it was filed before there was one."""
    if canonical_text(subject) == subject:
        return None
    return Person(subject=subject, hash=project_key.hash("subject", subject))


def open_payload(ledger: Ledger, project_key: ProjectKey, payload: Payload) -> Mapping[str, JSON] | None:
    """The original texts of a payload; None when its seal's time is over or its key was destroyed."""
    if payload.sealed is None:
        return None
    with ledger.read() as connection:
        key = SubjectKeys(project_key).get(connection, ledger.project, payload.subject)
    if key is None:
        return None
    plain = unseal(key, payload.sealed, context=payload.id.encode())
    document = payload_document(plain)
    if not document:
        raise CorruptionError(f"the payload {payload.id} is not JSON", cure="run `flyball doctor`")
    return document
