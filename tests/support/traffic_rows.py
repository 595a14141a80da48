"""One request or payload written to the ledger, as tests do; the product writes many in one statement."""

from __future__ import annotations

from sqlalchemy import Connection

from flyball.records import RequestRecord
from flyball.storage.traffic import add_payloads, add_requests


def add_request(connection: Connection, record: RequestRecord) -> bool:
    """Add a request; False when it was there already."""
    return bool(add_requests(connection, record.project, [record]))


def add_payload(connection: Connection, **values: object) -> None:
    """Add the payload of a request or feedback: id, project, subject, sealed, redacted, expires_ms."""
    add_payloads(connection, [values])
