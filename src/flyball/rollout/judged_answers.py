"""The answers that are to be judged: the first one of each sampled unit of a rollout, in both arms. I/O: the ledger.

One answer a unit, regardless of who judges and how much somebody asks; which one is decided by the order of the ledger,
so that everybody who looks draws the same. Forced requests are not drawn, and a failure has no answer. While a shadow
gets copies, the first copy of each sampled unit is drawn together with the answer that it copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from flyball.records import Deployment, Feedback, RequestRecord, parse
from flyball.rollout.config import RolloutConfig
from flyball.rollout.mirrored_pairs import Pairs
from flyball.rollout.plans import steps_of
from flyball.rollout.sampling import in_sample, place
from flyball.rollout.state_machine import History
from flyball.rollout.units import ended_ms
from flyball.storage import tables
from flyball.storage.deployments import history, open_deployments
from flyball.storage.ledger import Ledger

BATCH = 5000
MAX_UNITS = 200_000
"""Sampled units remembered per rollout; evidence is complete long before."""
_IDS_PER_QUERY = 400
_SLACK_MS = 60_000  # a request is ingested after it began


@dataclass(slots=True)
class Drawn:
    """A sampled unit in one arm: the answer to judge, once there is one, and until when a verdict counts."""

    frozen_ms: int
    until_ms: int
    request: str | None = None


class JudgedSample:
    """The drawn answers of one rollout, from its requests in the ledger's order; `began_ms` None: no traffic yet."""

    def __init__(self, deployment: Deployment, config: RolloutConfig, *, began_ms: int | None = None) -> None:
        self.deployment, self.config, self.began_ms = deployment, config, began_ms
        self._units: dict[tuple[str | None, str], Drawn] = {}
        self.drawn: dict[str, Drawn] = {}

    def covers(self, deployment: str | None, unit: str, started_ms: int) -> bool:
        """Whether a request of this arm and unit belongs to the sample."""
        if deployment is None or deployment not in (self.deployment.id, self.deployment.replaces):
            return False
        began = self.began_ms is not None and started_ms >= self.began_ms
        return began and in_sample(self.deployment.id, unit, self.config.judge_share)

    def take(self, records: Iterable[RequestRecord]) -> None:
        """Draw from requests, in the ledger's order."""
        for record in records:
            if record.outcome == "refused" or record.mirrors or record.forced:
                continue
            if self.covers(record.deployment, record.unit, record.started_ms):
                self._take(record)

    def _take(self, record: RequestRecord) -> None:
        key, ended = (record.deployment, record.unit), ended_ms(record)
        drawn = self._units.get(key)
        if drawn is None:
            if len(self._units) >= MAX_UNITS:
                return
            drawn = self._units[key] = self._new(record.started_ms, ended)
        answered = record.outcome == "ok" and record.answered_by is None and ended <= drawn.frozen_ms
        if drawn.request is None and answered:
            drawn.request = record.id
            self.drawn[record.id] = drawn

    def _new(self, first_ms: int, ended: int) -> Drawn:
        """A unit's windows, as in evidence.py."""
        frozen = max(first_ms + round(self.config.judge_after_s * 1000), ended)
        return Drawn(frozen_ms=frozen, until_ms=max(first_ms + round(self.config.judge_within_s * 1000), frozen))

    def waiting(self, now_ms: int) -> list[str]:
        """Drawn answers whose verdict would still count."""
        return [name for name, drawn in self.drawn.items() if drawn.until_ms >= now_ms]

    def counts(self, said: Feedback) -> bool:
        """Whether a verdict is evidence: on a drawn answer, with a score."""
        return said.request in self.drawn and said.score is not None


class JudgingQueue:
    """The answers that wait for a verdict in a project; remembers what it has read, so that looking often is cheap."""

    def __init__(self, ledger: Ledger, config: RolloutConfig) -> None:
        self._ledger, self._config = ledger, config
        self._drawn: dict[tuple[str, str], JudgedSample | Pairs] = {}
        self._through: dict[tuple[str, str], int] = {}

    def waiting(self, now_ms: int) -> list[str]:
        """Ids of requests, in a random order that is the same at each look and says nothing of the arm."""
        open_now, names = {}, []
        for deployment, phase, began_ms in _under_way(self._ledger):
            key = (deployment.id, phase)
            drawn = open_now[key] = self._drawn.get(key) or self._new(deployment, phase, began_ms)
            self._read(key, drawn, deployment, began_ms)
            if isinstance(drawn, Pairs):
                drawn.match(self._ledger)
                drawn.due(now_ms)
                names += drawn.open()
            else:
                names += drawn.waiting(now_ms)
        self._drawn = open_now
        done = judged(self._ledger, names)
        return sorted((name for name in names if name not in done), key=lambda name: place("order", name))

    def _new(self, deployment: Deployment, phase: str, began_ms: int) -> JudgedSample | Pairs:
        if phase == "mirrored":
            return Pairs(deployment.id, self._config)
        return JudgedSample(deployment, self._config, began_ms=began_ms)

    def _read(self, key: tuple[str, str], drawn: JudgedSample | Pairs, deployment: Deployment, began_ms: int) -> None:
        """Take in the requests that came since the last look."""
        through = self._through.get(key)
        if through is None:
            through = seq_before(self._ledger, began_ms - _SLACK_MS)
        column = tables.requests.c
        query = select(column.seq, column.deployment, column.unit, column.at_ms, column.body).where(
            column.project == self._ledger.project, column.route == deployment.route
        )
        more = True
        while more:
            with self._ledger.read() as connection:
                rows = connection.execute(query.where(column.seq > through).order_by(column.seq).limit(BATCH)).all()
            drawn.take(
                parse(bytes(row.body), RequestRecord)
                for row in rows
                if drawn.covers(row.deployment, row.unit, row.at_ms)
            )
            through = rows[-1].seq if rows else through
            more = len(rows) == BATCH
        self._through[key] = through


def judged(ledger: Ledger, requests: Sequence[str]) -> set[str]:
    """Those of the requests that somebody has judged."""
    found = set()
    column = tables.feedback.c
    with ledger.read() as connection:
        for start in range(0, len(requests), _IDS_PER_QUERY):
            ids = requests[start : start + _IDS_PER_QUERY]
            query = select(column.request, column.body).where(column.project == ledger.project, column.request.in_(ids))
            rows = connection.execute(query).all()
            found |= {row.request for row in rows if parse(bytes(row.body), Feedback).judge is not None}
    return found


def _under_way(ledger: Ledger) -> list[tuple[Deployment, str, int]]:
    """Rollouts that are being decided: answering or mirrored, with the time at which that began."""
    found = []
    for stored in open_deployments(ledger):
        steps = history(ledger, stored.id)
        if isinstance(stored.record, Deployment):
            answering, mirrored = answering_since(stored.record, steps), mirrored_since(stored.record, steps)
            if answering is not None:
                found.append((stored.record, "answering", answering))
            elif mirrored is not None:
                found.append((stored.record, "mirrored", mirrored))
    return found


def answering_since(deployment: Deployment, history: History) -> int | None:
    """When the first users were answered by a rollout's candidate; a shadow answers nobody."""
    return next((at_ms for variant, at_ms in _ramps(deployment, history) if variant != "shadow"), None)


def mirrored_since(deployment: Deployment, history: History) -> int | None:
    """When the first requests were sent to a rollout's candidate in copy."""
    return next((at_ms for variant, at_ms in _ramps(deployment, history) if variant == "shadow"), None)


def _ramps(deployment: Deployment, history: History) -> Iterator[tuple[str, int]]:
    """The variant of each step that began, and when."""
    steps = steps_of(deployment)
    for transition, at_ms in history:
        if transition.state == "ramping" and transition.step < len(steps):
            yield steps[transition.step].variant, at_ms


def seq_before(ledger: Ledger, at_ms: int) -> int:
    """The last place in the order of requests that is surely before a moment."""
    column = tables.requests.c
    query = select(func.min(column.seq)).where(column.project == ledger.project, column.at_ms >= at_ms)
    with ledger.read() as connection:
        first = connection.execute(query).scalar_one()
        if first is not None:
            return int(first) - 1
        return int(connection.execute(select(func.max(column.seq))).scalar_one() or 0)
