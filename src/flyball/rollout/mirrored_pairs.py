"""Find the live request that each mirrored one copies, and draw the pairs to judge. I/O: reads the ledger.

Both are in the ledger as soon as the ingester has seen them, in either order: a copy whose original is not there yet
waits for a later look. Of each unit of the rollout's sample the first pair is judged, where both answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from flyball.records import RequestRecord, parse
from flyball.rollout.config import RolloutConfig
from flyball.rollout.mirrored_evidence import MirroredEvidence
from flyball.rollout.sampling import in_sample
from flyball.rollout.units import ended_ms
from flyball.storage import tables
from flyball.storage.ledger import Ledger

MOST_WAITING = 2000
"""Copies that wait for their originals; the oldest are given up, as those of a worker that died in between."""
_IDS_PER_QUERY = 400


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A copy and its original, drawn to be judged, and until when verdicts on them count."""

    copy: str
    original: str
    until_ms: int


class Pairs:
    """The copies of one deployment that wait for their originals or for verdicts, and the evidence of the others."""

    def __init__(self, deployment: str, config: RolloutConfig) -> None:
        self.deployment, self.evidence = deployment, MirroredEvidence(config)
        self._config = config
        self._waiting: list[RequestRecord] = []
        self._drawn: deque[JudgedPair] = deque()

    def covers(self, deployment: str | None, unit: str, started_ms: int) -> bool:
        """Whether a request may be one of the copies; originals are looked up by what the copies say."""
        return deployment == self.deployment

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
            elif self.evidence.take(copy, original):
                self._draw(copy, original)
        self._waiting = waiting

    def _draw(self, copy: RequestRecord, original: RequestRecord) -> None:
        config = self._config
        if original.answered_by is None and in_sample(self.deployment, copy.unit, config.judge_share):
            window_s = max(config.judge_after_s, config.judge_within_s)
            until_ms = max(copy.started_ms + round(1000 * window_s), ended_ms(copy))
            self._drawn.append(JudgedPair(copy.id, original.id, until_ms))

    def open(self) -> list[str]:
        """The drawn answers whose time is not over, copies and originals."""
        return [name for pair in self._drawn for name in (pair.copy, pair.original)]

    def due(self, now_ms: int) -> list[JudgedPair]:
        """Take out the pairs whose time is over, in the order in which they were drawn."""
        due = []
        while self._drawn and self._drawn[0].until_ms < now_ms:
            due.append(self._drawn.popleft())
        return due


def _requests(ledger: Ledger, ids: list[str]) -> dict[str, RequestRecord]:
    """The requests of these ids that are there."""
    column, found = tables.requests.c, {}
    with ledger.read() as connection:
        for start in range(0, len(ids), _IDS_PER_QUERY):
            some = ids[start : start + _IDS_PER_QUERY]
            query = select(column.id, column.body).where(column.project == ledger.project, column.id.in_(some))
            found.update({row.id: parse(bytes(row.body), RequestRecord) for row in connection.execute(query)})
    return found
