"""Deploy, roll back, and what was deployed so far. I/O: the ledger."""

from __future__ import annotations

from typing import Any, cast

from flyball.errors import InputError
from flyball.records import Deployment, Release, Strategy
from flyball.records.canonical import to_plain
from flyball.rollout.deploying import promote, request_deployment, resume, rollback
from flyball.security import audit
from flyball.storage.deployments import history, pointer
from flyball.wiring import Project


def deploy(
    project: Project, release: str, *, route: str | None, strategy: str, reason: str, requested_by: str = "local"
) -> Deployment:
    """Ask for a release on a route; RefusedError without a passing gate decision for exactly this release."""
    stored = project.ledger.get(release)
    if not isinstance(stored.record, Release):
        raise InputError(f"{release} is a {type(stored.record).__name__}, not a release", cure="see `flyball models`")
    target = route or project.name
    made = request_deployment(
        project.ledger,
        project=project.name,
        route=target,
        release=stored.id,
        strategy=cast(Strategy, strategy),
        plan={"steps": list(project.settings.rollout.canary_steps)},
        requested_by=requested_by,
        reason=reason,
    )
    audit.record(project.ledger, actor=requested_by, action="deploy", subject=stored.id, details={"route": target})
    return made


def back(project: Project, *, route: str | None, reason: str, requested_by: str = "local") -> dict[str, Any]:
    """Move the route's pointer to the release before."""
    target = route or project.name
    transition = rollback(project.ledger, target, requested_by=requested_by, reason=reason)
    audit.record(
        project.ledger, actor=requested_by, action="rollback", subject=transition.deployment, details={"route": target}
    )
    live = pointer(project.ledger, target)
    return {
        "deployment": transition.deployment,
        "state": transition.state,
        "route": target,
        "live": live.live_release if live else None,
    }


def decide_paused(
    project: Project, deployment: str, *, verb: str, reason: str, requested_by: str = "local"
) -> dict[str, Any]:
    """Resume or promote a paused deployment; InputError for one that is not paused."""
    decide = {"resume": resume, "promote": promote}[verb]
    transition = decide(project.ledger, deployment, requested_by=requested_by, reason=reason)
    audit.record(project.ledger, actor=requested_by, action=verb, subject=deployment, details={"reason": reason})
    return {"deployment": deployment, "state": transition.state, "reason": reason}


def deployment_rows(project: Project, *, limit: int) -> list[dict[str, Any]]:
    """Deployments with their transitions and evidence, newest first."""
    rows = []
    for stored in project.ledger.find(Deployment, limit=limit):
        steps = history(project.ledger, stored.id)
        record = to_plain(stored.record)
        transitions = [{**to_plain(step), "at_ms": at_ms} for step, at_ms in steps]
        rows.append({**record, "state": steps[-1][0].state if steps else "requested", "transitions": transitions})
    return rows
