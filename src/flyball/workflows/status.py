"""The loop at a glance: the newest record of each stage, what is live, how it does. I/O: reads the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flyball.monitoring.health import reports_on
from flyball.monitoring.route_diagnosis import RouteDiagnosis, nothing_serves
from flyball.records import (
    DatasetVersion,
    Deployment,
    EvalReport,
    Finding,
    GateDecision,
    ModelVersion,
    Proposal,
    Release,
    TrainingRun,
)
from flyball.records.canonical import to_plain
from flyball.storage.deployments import history, open_deployments, pointer, routes
from flyball.supervision.run_file import read_note
from flyball.wiring import Project
from flyball.workflows.build_lock import holder_of

STAGES: tuple[type, ...] = (DatasetVersion, TrainingRun, ModelVersion, Release, EvalReport, GateDecision, Deployment)


def overview(project: Project) -> dict[str, Any]:
    """Facts for `flyball status`; no library of the build is loaded."""
    ledger, note = project.ledger, read_note(project.places.run)
    newest = {kind: ledger.find(kind, limit=1) for kind in STAGES}
    if newest[Release]:  # a gate may measure the live release again after the new one
        newest[EvalReport] = reports_on(ledger, newest[Release][0].id) or newest[EvalReport]
    live = {}
    for route in routes(ledger) or [project.name]:
        found = pointer(ledger, route)
        live[route] = {"release": found.live_release, "previous": found.previous_release} if found else None
    underway = [
        {
            "deployment": stored.id,
            "release": getattr(stored.record, "release", None),
            "state": state_of(project, stored.id),
        }
        for stored in open_deployments(ledger)
    ]
    missing = nothing_serves(ledger, project.name)
    builder = holder_of(project.places.run / "build.lock")
    if missing and builder and not newest[Release]:
        missing = RouteDiagnosis(what=f"a build runs (process {builder})", cure="wait for it", soon=True)
    return {
        "project": project.name,
        "missing": asdict(missing) if missing else None,
        "serving": to_plain(note) if note else None,
        "stages": {
            kind.__name__: fact(found[0].id, found[0].record, found[0].at_ms) if found else None
            for kind, found in newest.items()
        },
        "last_deployment": last_step(project, newest[Deployment][0].id) if newest[Deployment] else None,
        "live": live,
        "deployments": underway,
        "findings": len(ledger.find(Finding, limit=100)),
        "proposals": len(ledger.find(Proposal, limit=100)),
    }


def last_step(project: Project, deployment: str) -> dict[str, Any]:
    """Where a deployment stands, and why."""
    steps = history(project.ledger, deployment)
    if not steps:
        return {"deployment": deployment, "state": "requested", "why": None}
    return {"deployment": deployment, "state": steps[-1][0].state, "why": steps[-1][0].evidence.get("reason")}


def state_of(project: Project, deployment: str) -> str:
    steps = history(project.ledger, deployment)
    return steps[-1][0].state if steps else "requested"


def fact(name: str, record: object, at_ms: int) -> dict[str, Any]:
    """A record in a few words."""
    detail: dict[str, Any] = {}
    match record:
        case DatasetVersion():
            detail = {split.name: split.rows for split in record.splits}
        case TrainingRun():
            told = ("loss", "validation_loss", "validation_exact_match", "validation_preference_accuracy")
            shown = [key for key in told if key in record.metrics]
            detail = {"steps": record.steps, **{key: round(record.metrics[key], 4) for key in shown}}
        case ModelVersion():
            detail = {"parameters": record.parameters, "formats": list(record.formats)}
        case Release():
            detail = {"artifact": record.artifact, "constraint": record.constraint.kind}
        case EvalReport():
            detail = {
                f"{m.suite}.{m.name}": [round(m.value, 4), round(m.lower, 4), round(m.upper, 4)]
                for m in record.measures
                if m.slice is None and not m.name.startswith("latency")
            }
        case GateDecision():
            detail = {"verdict": record.verdict}
        case Deployment():
            detail = {"route": record.route, "strategy": record.strategy}
    return {"id": name, "at_ms": at_ms, **detail}
