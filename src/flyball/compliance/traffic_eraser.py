"""Forgets a person's traffic: payloads and the key that sealed them; callers' own ids become hashes. I/O: the ledger.

What stays are RequestRecord and Feedback under the keyed hash of the person: times, tokens, cost, scores. A caller's
own id may name a person, so it is the one thing in a record that erasure rewrites.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, delete, func, or_, select, update

from flyball.compliance.erasers import Traces
from flyball.compliance.subjects import Person
from flyball.records import Feedback, RequestRecord, canonical_bytes, parse
from flyball.security.keys import ProjectKey
from flyball.security.sealing import SubjectKeys
from flyball.storage import tables
from flyball.storage.ledger import Ledger

_HASHED = re.compile(r"[0-9a-f]{64}")
CHUNK = 500


@dataclass(frozen=True, slots=True)
class TrafficEraser:
    """The eraser of requests, feedback, payloads and subject keys."""

    ledger: Ledger
    project_key: ProjectKey
    name: str = "traffic"

    def plan(self, person: Person) -> Traces:
        """Counts of payloads, keys and callers' ids."""
        with self.ledger.read() as connection:
            named = self._named_requests(connection, person), self._named_feedback(connection, person)
            payloads = self._payloads(connection, person)
            keys = SubjectKeys(self.project_key)
            held = (keys.get(connection, self.ledger.project, owner) for owner in _owners(person, payloads))
            return Traces(
                counts={
                    "payloads": len(payloads),
                    "keys": sum(key is not None for key in held),
                    "client_ids": sum(len(rows) for rows in named),
                    "pseudonymous_requests_kept": self._requests(connection, person),
                }
            )

    def apply(self, person: Person) -> Traces:
        """Delete payloads, destroy keys, hash callers' ids; one transaction."""
        with self.ledger.begin() as connection:
            payloads = self._payloads(connection, person)
            client_ids = self._hash_client_ids(connection, person)
            column = tables.payloads.c
            for names in _chunks([row.id for row in payloads]):
                own = column.project == self.ledger.project
                connection.execute(delete(tables.payloads).where(own, column.id.in_(names)))
            owners = _owners(person, payloads)
            keys = SubjectKeys(self.project_key)
            destroyed = sum(keys.destroy(connection, self.ledger.project, owner) for owner in owners)
            requests = self._requests(connection, person)
        return Traces(
            counts={
                "payloads": len(payloads),
                "keys": destroyed,
                "client_ids": client_ids,
                "pseudonymous_requests_kept": requests,
            }
        )

    def _payloads(self, connection: Connection, person: Person) -> Sequence[Any]:
        """Payloads under the person's key, and those of feedback on the person's requests."""
        column, feedback = tables.payloads.c, tables.feedback.c
        said = select(feedback.id).where(feedback.project == self.ledger.project, self._about(person))
        asked = self._asked(person)
        query = select(column.id, column.subject).where(column.project == self.ledger.project)
        return connection.execute(
            query.where(or_(column.subject == person.hash, column.id.in_(said), column.id.in_(asked)))
        ).all()

    def _asked(self, person: Person) -> Select[Any]:
        column = tables.requests.c
        return select(column.id).where(column.project == self.ledger.project, column.subject == person.hash)

    def _about(self, person: Person) -> Any:
        """Whether feedback is on a request of the person, named by its id or by the caller's own."""
        feedback, request = tables.feedback.c, tables.requests.c
        same = (
            select(request.id)
            .where(request.project == self.ledger.project, request.subject == person.hash)
            .where(request.key_id == feedback.key_id, request.client_id == feedback.client_id)
        )
        return or_(feedback.request.in_(self._asked(person)), feedback.request.is_(None) & same.exists())

    def _requests(self, connection: Connection, person: Person) -> int:
        return connection.execute(select(func.count()).select_from(self._asked(person).subquery())).scalar_one()

    def _named_requests(self, connection: Connection, person: Person) -> list[Any]:
        column = tables.requests.c
        query = select(column.seq, column.client_id, column.body).where(column.project == self.ledger.project)
        rows = connection.execute(query.where(column.subject == person.hash, column.client_id.is_not(None))).all()
        return [row for row in rows if not _HASHED.fullmatch(row.client_id)]

    def _named_feedback(self, connection: Connection, person: Person) -> list[Any]:
        column = tables.feedback.c
        query = select(column.seq, column.client_id, column.body).where(column.project == self.ledger.project)
        rows = connection.execute(query.where(column.client_id.is_not(None), self._about(person))).all()
        return [row for row in rows if not _HASHED.fullmatch(row.client_id)]

    def _hash_client_ids(self, connection: Connection, person: Person) -> int:
        """The same id gives the same hash, so feedback by the caller's own id still finds its request."""
        requests, feedback = self._named_requests(connection, person), self._named_feedback(connection, person)
        for table, kind, rows in (
            (tables.requests, RequestRecord, requests),
            (tables.feedback, Feedback, feedback),
        ):
            for row in rows:
                hashed = self.project_key.hash("client_id", row.client_id)
                body = canonical_bytes(replace(parse(bytes(row.body), kind), client_id=hashed))  # type: ignore[type-var]
                connection.execute(update(table).where(table.c.seq == row.seq).values(client_id=hashed, body=body))
        return len(requests) + len(feedback)


def _owners(person: Person, payloads: Sequence[Any]) -> list[str]:
    """Whose keys sealed these payloads: the person's, and those of feedback that came before its request was known."""
    return sorted({person.hash, *(row.subject for row in payloads)})


def _chunks(names: list[str]) -> list[list[str]]:
    return [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
