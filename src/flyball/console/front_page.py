"""The front page's facts, gathered in one pass. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from flyball.console import loop_diagram
from flyball.console.cached_metrics import CachedMetrics
from flyball.console.record_facts import SEVERITIES, State
from flyball.console.request_list import Answer, read_answers
from flyball.console.rollouts import Rollout, read_rollouts
from flyball.console.stages import Listening, Live, LoopFacts, Stage, stages
from flyball.console.traffic import Traffic, read_traffic
from flyball.cost.charges import CostSummary
from flyball.monitoring.health import reports_on
from flyball.records import (
    DatasetVersion,
    Deployment,
    EvalReport,
    Finding,
    GateDecision,
    Measure,
    ModelVersion,
    Proposal,
    Release,
    TrainingRun,
)
from flyball.storage import deployments
from flyball.storage.ledger import Ledger, Stored

BUILT = (DatasetVersion, TrainingRun, ModelVersion, Release, EvalReport, GateDecision, Finding, Proposal)
LATEST_ANSWERS = 8
COMPARED_RELEASES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentFinding:
    """A finding as it is shown, and whether it still speaks of something that serves."""

    stored: Stored
    finding: Finding
    tone: State
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One release's quality: as evaluated, and as its users found it."""

    release: str
    is_live: bool
    evaluated: Measure | None
    listening: Listening | None

    def points(self) -> list[dict[str, object]]:
        """The intervals as plain values for a chart."""
        label = f"{self.release[:8]}{' live' if self.is_live else ''}"
        found: list[dict[str, object]] = []
        for kind, part in (("evaluated", self.evaluated), ("in production", self.listening)):
            if part is not None and part.n and part.value is not None:
                found.append(
                    {"release": label, "kind": kind, "value": part.value, "lower": part.lower, "upper": part.upper}
                )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything on the front page."""

    route: str
    routes: tuple[str, ...]
    now_ms: int
    stages: tuple[Stage, ...]
    pictures: tuple[loop_diagram.LoopDiagram, ...]
    live: Live | None
    traffic: Traffic
    listening: Listening | None
    evaluated: Measure | None
    compared: tuple[Compared, ...]
    findings: tuple[RecentFinding, ...]
    rollout: Rollout | None
    cost: CostSummary | None
    answers: tuple[Answer, ...]


def choose_route(ledger: Ledger, wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """The route to show, and all there are: the one asked for, else the project's own, else the first."""
    known = tuple(deployments.routes(ledger))
    for candidate in (wanted, ledger.project):
        if candidate in known:
            return str(candidate), known
    return (known[0] if known else ledger.project), known


def read_overview(ledger: Ledger, kept: CachedMetrics, *, route: str | None, now_ms: int) -> Overview:
    """The state of the whole loop, seen from one route."""
    chosen, known = choose_route(ledger, route)
    live = read_live(ledger, chosen)
    traffic = read_traffic(ledger, route=chosen if known else None, now_ms=now_ms)
    rollouts = read_rollouts(ledger, route=chosen, limit=5)
    findings = read_findings(ledger, limit=50)
    compared = read_compared(ledger, kept, live)
    current = next((one for one in compared if one.is_live), None)
    listening = current.listening if current else None
    opened = tuple(found for found in findings if found.is_open)
    drawn = stages(
        LoopFacts(
            newest=newest_records(ledger),
            rollout=rollouts[0] if rollouts else None,
            live=live,
            traffic=traffic,
            listening=listening,
            open_findings=tuple(found.stored for found in opened),
        )
    )
    return Overview(
        route=chosen,
        routes=known,
        now_ms=now_ms,
        stages=drawn,
        pictures=(loop_diagram.wide(drawn), loop_diagram.tall(drawn)),
        live=live,
        traffic=traffic,
        listening=listening,
        evaluated=current.evaluated if current else None,
        compared=compared,
        findings=opened,
        rollout=next((rollout for rollout in rollouts if rollout.is_open), None),
        cost=kept.cost(ledger),
        answers=tuple(read_answers(ledger, route=chosen if known else None, limit=LATEST_ANSWERS).answers),
    )


def newest_records(ledger: Ledger) -> Mapping[type, Stored]:
    """The newest record of each type that has any; of the reports, that on the newest release.

    (A gate may measure the live release again after the new one.)
    """
    found = {kind: ledger.find(kind, limit=1) for kind in BUILT}
    if found[Release]:
        found[EvalReport] = reports_on(ledger, found[Release][0].id) or found[EvalReport]
    return {kind: records[0] for kind, records in found.items() if records}


def read_live(ledger: Ledger, route: str) -> Live | None:
    """What answers on a route; None when nothing does yet."""
    pointer = deployments.pointer(ledger, route)
    if pointer is None or pointer.live_release is None:
        return None
    since = None
    if pointer.live_deployment:
        history = deployments.history(ledger, pointer.live_deployment)
        since = next((at_ms for step, at_ms in reversed(history) if step.state == "live"), None)
    return Live(
        release=pointer.live_release,
        deployment=pointer.live_deployment,
        since_ms=since,
        previous=pointer.previous_release,
    )


def read_findings(ledger: Ledger, *, limit: int) -> list[RecentFinding]:
    """Findings, newest first. One is open while its release serves, or is about to, on its route."""
    serving = {
        pointer.live_release for name in deployments.routes(ledger) if (pointer := deployments.pointer(ledger, name))
    }
    serving |= {getattr(stored.record, "release", None) for stored in deployments.open_deployments(ledger)}
    found = []
    for stored in ledger.find(Finding, limit=limit):
        finding = cast(Finding, stored.record)
        is_open = finding.release is None or finding.release in serving
        found.append(RecentFinding(stored=stored, finding=finding, tone=SEVERITIES[finding.severity], is_open=is_open))
    return found


def read_compared(ledger: Ledger, kept: CachedMetrics, live: Live | None) -> tuple[Compared, ...]:
    """Releases that were ever deployed, newest first and the live one always among them, with both their qualities."""
    names = [cast(Deployment, stored.record).release for stored in ledger.find(Deployment, limit=20)]
    ordered = list(dict.fromkeys(([live.release] if live else []) + names))[:COMPARED_RELEASES]
    evaluated = kept.evaluated(ledger) or {}
    return tuple(
        Compared(
            release=name,
            is_live=live is not None and name == live.release,
            evaluated=evaluated.get(name),
            listening=kept.listening(ledger, name),
        )
        for name in ordered
    )
