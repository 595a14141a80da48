"""What people are told of: findings, proposals, deployments that ended or stopped. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, select

from flyball.monitoring.notices.config import Severity
from flyball.records import Deployment, Finding, Proposal, Transition, parse
from flyball.records.identity import short
from flyball.storage import tables
from flyball.storage.ledger import Ledger

BATCH = 500
TOLD: dict[str, Severity] = {"paused": "warning", "rolled_back": "critical", "failed": "critical", "live": "info"}
"""States of a deployment that somebody may want to know of."""
_KINDS = ("Finding", "Proposal")


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel was told: places in the ledger of records and of transitions."""

    records: int = 0
    transitions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; `path` is its page in the console, `id` the same each time it is told."""

    id: str
    at_ms: int
    severity: Severity
    title: str
    text: str
    route: str
    path: str


def now(ledger: Ledger) -> Cursor:
    """The cursor of a channel that begins now: nobody is told of what was before it."""
    with ledger.read() as connection:
        newest = [
            connection.execute(select(func.max(table.c.seq)).where(table.c.project == ledger.project)).scalar() or 0
            for table in (tables.records, tables.transitions)
        ]
    return Cursor(records=newest[0], transitions=newest[1])


def events_after(ledger: Ledger, cursor: Cursor) -> tuple[list[Event], Cursor]:
    """The next events, oldest first, at most BATCH of each kind, and the cursor behind them."""
    record, step = tables.records.c, tables.transitions.c
    records = (
        select(record.seq, record.id, record.type, record.body, record.at_ms)
        .where(record.project == ledger.project, record.type.in_(_KINDS), record.seq > cursor.records)
        .order_by(record.seq)
        .limit(BATCH)
    )
    steps = (
        select(step.seq, step.deployment, step.body, step.at_ms)
        .where(step.project == ledger.project, step.state.in_(TOLD), step.seq > cursor.transitions)
        .order_by(step.seq)
        .limit(BATCH)
    )
    with ledger.read() as connection:
        found = connection.execute(records).all()
        moved = connection.execute(steps).all()
        names = {row.deployment for row in moved}
        deployments = _deployments(connection, ledger.project, sorted(names))
    events = [
        _of_finding(row.at_ms, parse(bytes(row.body), Finding))
        if row.type == "Finding"
        else _of_proposal(row.at_ms, parse(bytes(row.body), Proposal))
        for row in found
    ]
    for row in moved:
        transition = msgspec.json.decode(bytes(row.body), type=Transition)
        if (deployment := deployments.get(row.deployment)) is not None:
            events.append(_of_transition(row.seq, row.at_ms, transition, deployment))
    after = Cursor(
        records=found[-1].seq if found else cursor.records, transitions=moved[-1].seq if moved else cursor.transitions
    )
    return sorted(events, key=lambda event: event.at_ms), after


def _deployments(connection: Connection, project: str, names: Sequence[str]) -> dict[str, Deployment]:
    column = tables.records.c
    query = select(column.id, column.body).where(column.project == project, column.id.in_(names))
    return {row.id: parse(bytes(row.body), Deployment) for row in connection.execute(query)} if names else {}


def _of_finding(at_ms: int, finding: Finding) -> Event:
    return Event(
        id=finding.id,
        at_ms=at_ms,
        severity=finding.severity,
        title=f"{finding.kind}: {finding.measure}" + (f" on {finding.route}" if finding.route else ""),
        text=finding.explanation,
        route=finding.route,
        path=f"/records/{finding.id}",
    )


def _of_proposal(at_ms: int, proposal: Proposal) -> Event:
    return Event(
        id=proposal.id,
        at_ms=at_ms,
        severity="warning",
        title=f"proposal: {proposal.action} on {proposal.route}",
        text=f"{proposal.rationale} Say yes with: flyball improve --accept {proposal.id}",
        route=proposal.route,
        path=f"/records/{proposal.id}",
    )


def _of_transition(seq: int, at_ms: int, transition: Transition, deployment: Deployment) -> Event:
    reason = transition.evidence.get("reason")
    return Event(
        id=f"{transition.deployment}-{seq}",
        at_ms=at_ms,
        severity=TOLD[transition.state],
        title=f"deployment on {deployment.route} is {transition.state.replace('_', ' ')}",
        text=f"release {short(deployment.release)}" + (f": {reason}" if isinstance(reason, str) and reason else ""),
        route=deployment.route,
        path=f"/records/{transition.deployment}",
    )
