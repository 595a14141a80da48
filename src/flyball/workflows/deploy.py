"""Deploy, roll back, promote, resume, and what was deployed so far. I/O: the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from flyball.engines.catalog import is_elsewhere
from flyball.errors import InputError, NotFoundError
from flyball.records import JSON, Deployment, Release, Strategy
from flyball.records.canonical import to_plain
from flyball.rollout.deployments import promote, request_deployment, resume, rollback, under_way
from flyball.rollout.plans import plan_of, steps_of
from flyball.security import audit
from flyball.serving.engine_processes import running_engines
from flyball.serving.placement import require_memory
from flyball.storage.deployments import figures_of, history, pointer
from flyball.wiring import Project


def deploy(
    project: Project,
    release: str,
    *,
    route: str | None = None,
    strategy: str | None = None,
    shares: Sequence[float] = (),
    then: str | None = None,
    mirrored: float | None = None,
    downtime: bool = False,
    reason: str = "",
    requested_by: str = "local",
) -> Deployment:
    """Ask for a release on a route; RefusedError without a passing gate decision for exactly this release.

    Without a strategy it is the project's (rollout.strategy). EnvironmentMissing when it does not fit beside the live.
    `downtime`: what is live ends first, and the route does not answer until the release does.
    """
    stored = project.ledger.get(release)
    if not isinstance(stored.record, Release):
        raise InputError(f"{release} is a {type(stored.record).__name__}, not a release", cure="see `flyball models`")
    target, config = route or project.name, project.settings.rollout
    if downtime:
        if strategy not in (None, "blue-green"):
            raise InputError(f"--allow-downtime leaves nothing to compare a {strategy} with", cure="use blue-green")
        strategy = "blue-green"
    if strategy is None:
        strategy, then = config.strategy, then or ("canary" if config.strategy == "shadow" else None)
    plan = plan_of(cast(Strategy, strategy), config, shares=shares, then=cast(Strategy, then), mirrored=mirrored)
    if downtime:
        plan |= {"downtime": True}
    else:
        _require_room(project, stored.record, stored.id, target)
    made = request_deployment(
        project.ledger,
        project=project.name,
        route=target,
        release=stored.id,
        strategy=cast(Strategy, strategy),
        plan=plan,
        requested_by=requested_by,
        reason=reason,
    )
    details: dict[str, JSON] = {"route": target, **({"downtime": True} if downtime else {})}
    audit.record(project.ledger, actor=requested_by, action="deploy", subject=stored.id, details=details)
    return made


def _require_room(project: Project, release: Release, name: str, route: str) -> None:
    """EnvironmentMissing, with the choices, when this machine cannot hold the release beside what is live.

    Control asks again, on the machine that it runs on; here nobody has to wait to be told.
    """
    found = pointer(project.ledger, route)
    if found is None or found.live_release is None or is_elsewhere(release):
        return
    running = running_engines(project.places.run)
    if any(engine.release == name for engine in running):
        return
    try:
        artifact = project.artifacts.path(release.model)
        adapter = project.artifacts.path(release.adapter) if release.adapter else None
    except NotFoundError:
        return  # it is served from another machine
    require_memory(
        release,
        artifact,
        replicas=project.settings.serving.replicas,
        mapped=any(Path(engine.model).is_relative_to(artifact) for engine in running),
        adapter=adapter,
    )


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


def decide(
    project: Project,
    deployment: str | None,
    *,
    verb: str,
    reason: str,
    route: str | None = None,
    requested_by: str = "local",
) -> dict[str, Any]:
    """Resume or promote a deployment, by default the one under way on the route; InputError when its state forbids."""
    name = deployment or under_way(project.ledger, route or project.name).id
    if verb == "promote":
        kept = figures_of(project.ledger, name)
        transition = promote(
            project.ledger, name, requested_by=requested_by, reason=reason, figures=kept[0] if kept else None
        )
    else:
        transition = resume(project.ledger, name, requested_by=requested_by, reason=reason)
    audit.record(project.ledger, actor=requested_by, action=verb, subject=name, details={"reason": reason})
    return {"deployment": name, "state": transition.state, "reason": reason}


def deployment_history(
    project: Project, deployment: str | None = None, *, route: str | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Deployments (or one) with their plan, their transitions and the evidence of each, newest first.

    `now` says how the arms of one under way stand, and when that was seen.
    """
    ledger = project.ledger
    found = (
        [ledger.get(deployment)] if deployment else ledger.find(Deployment, limit=limit if route is None else 4 * limit)
    )
    rows = []
    for stored in found:
        record = stored.record
        if not isinstance(record, Deployment):
            raise InputError(f"{stored.id} is a {type(record).__name__}, not a deployment", cure="leave the name out")
        if route is not None and record.route != route:
            continue
        steps = history(ledger, stored.id)
        state = steps[-1][0].state if steps else "requested"
        kept = figures_of(ledger, stored.id) if state in ("ramping", "paused") else None
        at = pointer(ledger, record.route)
        rows.append(
            {
                **to_plain(record),
                "state": state,
                "serving": at is not None and at.live_deployment == stored.id,
                "steps": [to_plain(step) for step in steps_of(record)],
                "transitions": [{**to_plain(step), "at_ms": at_ms} for step, at_ms in steps],
                "now": {"at_ms": kept[1], "figures": kept[0]} if kept else None,
            }
        )
    return rows[:limit]
