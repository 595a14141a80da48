"""What a gateway without a project holds of a person: erased, or given out. I/O: the gateway's state folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyball.compliance.erasure import erase, receipt_document
from flyball.compliance.export import export_subject
from flyball.compliance.name_suggestions import near_names, recorded_names, same_otherwise_spelt
from flyball.gateway.recording.ingester import ingest_once
from flyball.records import JSON
from flyball.records.canonical import to_plain
from flyball.security.keys import ProjectKey
from flyball.standalone.state import check_used, ingest_context, kept_recording, open_state, state_key
from flyball.storage.ledger import Ledger


def erase_recorded(state: Path, subject: str) -> dict[str, JSON]:
    """Erase a person's requests and feedback; the signed receipt. Killed anywhere, the same command goes on."""
    with _filed(state) as (key, ledger):
        return dict(to_plain(erase(ledger, project_key=key, subject=subject)))


def near_recorded(state: Path, subject: str, *, found: bool) -> list[str]:
    """Spellings near one, of which there are requests; where somebody was `found`, those spelt otherwise."""
    with _filed(state) as (key, ledger):
        known = recorded_names(ledger, key, subject)
        return same_otherwise_spelt(subject, known) if found else near_names(subject, known)


def receipt_recorded(state: Path, subject: str, given: bytes | None) -> dict[str, JSON]:
    """A person's newest receipt, or the one that is given, and whether its signature holds."""
    with _filed(state) as (key, ledger):
        return receipt_document(ledger, project_key=key, subject=subject, given=given)


def export_recorded(state: Path, subject: str) -> dict[str, JSON]:
    """A person's requests with their texts, feedback and erasures."""
    with _filed(state) as (key, ledger):
        return export_subject(ledger, project_key=key, subject=subject)


@contextmanager
def _filed(state: Path) -> Iterator[tuple[ProjectKey, Ledger]]:
    """Key and ledger, once what waits in segments is in the ledger too; the gateway may be running."""
    check_used(state)
    key, ledger = state_key(state), open_state(state)
    try:
        ingest_once(ingest_context(state, kept_recording(state), key, ledger))
        yield key, ledger
    finally:
        ledger.close()
