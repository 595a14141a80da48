"""When findings become a proposal: enough corrected answers, no open proposal, no hurry. I/O: the ledger.

A proposal is open while the release it speaks of is live and nothing answers it (a record whose edge `proposal` leads
to it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from flyball.improvement.config import ImproveConfig
from flyball.improvement.corrections import count_candidates, find_corrections
from flyball.records import Finding, Proposal
from flyball.records.identity import uuid7
from flyball.storage import deployments
from flyball.storage.ledger import Ledger, Stored, now_ms

ANSWERS = "proposal"
"""Relation of the edge from a record (such as a DatasetVersion or TrainingRun) to the proposal that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What was proposed on this route before."""

    last: Stored | None
    last_retrain_ms: int
    open_action: str | None


def propose(
    ledger: Ledger, *, config: ImproveConfig, route: str, findings: Sequence[Finding] = (), at_ms: int | None = None
) -> Proposal | None:
    """The proposal that `findings` and those open in the ledger call for, appended; None when it is not time.

    Retrain when there are `min_corrections` corrected answers newer than the last proposal to retrain; review by a
    person when there is none at all; in between wait for more. A review gives way once enough corrections have come.
    """
    now = now_ms() if at_ms is None else at_ms
    relevant = _relevant(ledger, config, route, findings)
    if not relevant:
        return None
    past = _past(ledger, route, relevant[-1].release)
    if past.open_action == "retrain" or _must_wait(past, config, now):
        return None
    candidates = count_candidates(ledger, route=route)
    usable = find_corrections(ledger, route=route).usable if candidates else ()
    fresh = sum(one.at_ms > past.last_retrain_ms for one in usable)
    if past.open_action == "review" and fresh < config.min_corrections:
        return None
    if 0 < fresh < config.min_corrections:
        return None
    return _append(ledger, _proposal(ledger, route, relevant, fresh), past)


def is_open(ledger: Ledger, proposal: Proposal) -> bool:
    """Whether a proposal still waits: its release is the live one, and no record answers it."""
    live = deployments.pointer(ledger, proposal.route)
    if live is not None and live.live_release != proposal.release:
        return False
    return all(edge.relation != ANSWERS for edge in ledger.children(proposal.id))


def _relevant(ledger: Ledger, config: ImproveConfig, route: str, given: Sequence[Finding]) -> list[Finding]:
    """Findings of triggering kinds about what is live on the route, each once, oldest first."""
    live = deployments.pointer(ledger, route)
    stored = [one.record for one in ledger.find(Finding, limit=1000)][::-1]
    found = {one.id: one for one in (*stored, *given) if isinstance(one, Finding)}
    release = live.live_release if live is not None else None
    return [
        one
        for one in sorted(found.values(), key=lambda finding: finding.id)
        if one.kind in config.triggers and one.route == route and (release is None or one.release == release)
    ]


def _past(ledger: Ledger, route: str, release: str | None) -> _Past:
    proposals = [
        stored
        for stored in ledger.find(Proposal, limit=1000)
        if isinstance(stored.record, Proposal) and stored.record.route == route
    ]
    retrains = [one.at_ms for one in proposals if isinstance(one.record, Proposal) and one.record.action == "retrain"]
    open_ones = [
        one.record.action
        for one in proposals
        if isinstance(one.record, Proposal) and one.record.release == release and is_open(ledger, one.record)
    ]
    return _Past(
        last=proposals[0] if proposals else None,
        last_retrain_ms=max(retrains, default=0),
        open_action="retrain" if "retrain" in open_ones else (open_ones[0] if open_ones else None),
    )


def _must_wait(past: _Past, config: ImproveConfig, now: int) -> bool:
    """Cool-down; an open review does not delay the retraining that it asked corrections for."""
    if past.last is None or past.open_action == "review":
        return False
    return now - past.last.at_ms < config.cooldown_s * 1000


def _proposal(ledger: Ledger, route: str, findings: Sequence[Finding], corrections: int) -> Proposal:
    kinds = ", ".join(sorted({one.kind for one in findings}))
    todo = (
        f"{corrections} answers were corrected by people: retrain with them"
        if corrections
        else "nobody has corrected an answer, so there is nothing to learn from: look at the examples and correct some"
    )
    return Proposal(
        id=uuid7(),
        project=ledger.project,
        action="retrain" if corrections else "review",
        findings=tuple(one.id for one in findings),
        route=route,
        release=findings[-1].release,
        corrections=corrections,
        rationale=f"{kinds} changed on {route}: {findings[-1].explanation} {todo[0].upper()}{todo[1:]}.",
    )


def _append(ledger: Ledger, proposal: Proposal, past: _Past) -> Proposal | None:
    """Store a proposal unless another process has just made one."""
    with ledger.begin() as connection:
        _take_turns(connection, f"proposals/{ledger.project}/{proposal.route}")
        newest = _past(ledger, proposal.route, proposal.release).last
        if (newest.id if newest else None) != (past.last.id if past.last else None):
            return None
        ledger.append(proposal, connection=connection)
    return proposal


def _take_turns(connection: Connection, name: str) -> None:
    """One writer at a time until the transaction ends; SQLite's transactions do that by themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
