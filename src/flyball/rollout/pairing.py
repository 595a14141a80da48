"""Find the live request that each mirrored one copies. I/O: reads the ledger.

Both are in the ledger as soon as the ingester has seen them, in either order: a copy whose original is not there yet
waits for a later look.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from flyball.records import RequestRecord, parse
from flyball.rollout.mirrored import MirroredEvidence
from flyball.storage import tables
from flyball.storage.ledger import Ledger

MOST_WAITING = 2000
"""Copies that wait for their originals; the oldest are given up, as those of a worker that died in between."""
_IDS_PER_QUERY = 400


class Pairs:
    """The copies of one deployment that wait for their originals, and the evidence of those that were found."""

    def __init__(self, deployment: str, evidence: MirroredEvidence) -> None:
        self.deployment, self.evidence = deployment, evidence
        self._waiting: list[RequestRecord] = []

    def take(self, records: Iterable[RequestRecord]) -> None:
        """Keep the deployment's mirrored requests among these."""
        for record in records:
            if record.mirrors is not None and record.deployment == self.deployment:
                self.evidence.paid(record)
                self._waiting.append(record)
        del self._waiting[:-MOST_WAITING]

    def match(self, ledger: Ledger) -> None:
        """Compare those whose original is in the ledger by now, oldest first."""
        if not self._waiting:
            return
        found = _requests(ledger, [copy.mirrors for copy in self._waiting if copy.mirrors])
        waiting = []
        for copy in self._waiting:
            original = found.get(copy.mirrors or "")
            if original is None:
                waiting.append(copy)
            else:
                self.evidence.take(copy, original)
        self._waiting = waiting


def _requests(ledger: Ledger, ids: list[str]) -> dict[str, RequestRecord]:
    """The requests of these ids that are there."""
    column, found = tables.requests.c, {}
    with ledger.read() as connection:
        for start in range(0, len(ids), _IDS_PER_QUERY):
            some = ids[start : start + _IDS_PER_QUERY]
            query = select(column.id, column.body).where(column.project == ledger.project, column.id.in_(some))
            found.update({row.id: parse(bytes(row.body), RequestRecord) for row in connection.execute(query)})
    return found
