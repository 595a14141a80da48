"""The whole build and, if the gate passes, the deployment; a second run redoes nothing. I/O: DVC, ledger, engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flyball.data.readers.source_rows import described, look
from flyball.dvc.pipeline import STAGES, check_context, reproduce, source_paths
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.monitoring.health import reports_on
from flyball.records import Deployment, EvalReport, GateDecision, Strategy, name_of
from flyball.records.canonical import to_plain
from flyball.rollout.config import policy_of
from flyball.rollout.deployments import request_deployment, rollback
from flyball.rollout.plans import plan_of
from flyball.storage.deployments import history, open_deployments, pointer
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.build_lock import only_one
from flyball.workflows.experiment_intake import take_in_experiments
from flyball.workflows.gate import gate
from flyball.workflows.init import make_ready
from flyball.workflows.record_intake import Build, take_in


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did: the stages that ran, the records, the decision, and the deployment if there is one."""

    ran: tuple[str, ...]
    build: Build
    decision: GateDecision
    deployment: Deployment | None
    changed: bool


def build(project: Project, *, stage: str | None, wait: bool, say: Callable[[str], None]) -> tuple[str, ...]:
    """Bring the build up to date (up to `stage`); the stages that ran."""
    with only_one(project.places.run / "build.lock", what="a build", wait=wait, say=say):
        if stage != STAGES[0]:  # rows can be made, whatever is wrong with what comes after them
            check_context(project)
        make_ready(project, say)
        return tuple(reproduce(project, stage))


def read_as(project: Project) -> dict[str, str]:
    """How each source is read, as set or as seen in it: its format, delimiter, quotes, encoding."""
    sources = zip(source_paths(project), project.settings.data.sources, strict=True)
    return {source.name or path.name: described(look(path, source)[0]) for path, source in sources}


def run(
    project: Project,
    *,
    route: str | None = None,
    deploy: bool = True,
    strategy: str | None = None,
    requested_by: str = "local",
    reason: str = "flyball run",
    wait: bool = True,
    progress: Progress,
    say: Callable[[str], None],
) -> RunResult:
    """Build, gate, deploy. The gate's verdict is in the result; nothing is deployed unless it is a pass."""
    target = route or project.name
    with only_one(project.places.run / "build.lock", what="a build", wait=wait, say=say):
        check_context(project)
        make_ready(project, say)
        take_in_experiments(project, say)  # before the build, which may be one of them, applied
        ran = tuple(reproduce(project))
        made = take_in(project)
        already = standing_decision(project, made.report, target)
        decision = already or gate(project, made.report, route=target, progress=progress, say=say)
        deployment, fresh = None, False
        if deploy and decision.verdict == "pass":
            deployment, fresh = ensure_deployed(
                project, made, target, strategy=strategy, requested_by=requested_by, reason=reason
            )
    changed = bool(ran) or already is None or fresh
    return RunResult(ran=ran, build=made, decision=decision, deployment=deployment, changed=changed)


def standing_decision(project: Project, report: EvalReport, route: str) -> GateDecision | None:
    """The decision on a report that still answers today's question: the same policy, against what is live now."""
    policy = policy_of(project.settings.gate)
    found = pointer(project.ledger, route)
    live = found.live_release if found else None
    names = {name_of(report)}
    if report.prompt_path < PROMPT_PATH:  # the gate may have measured it again
        names |= {stored.id for stored in reports_on(project.ledger, report.release)}
    for stored in project.ledger.find(GateDecision, limit=200):
        decision = stored.record
        if not isinstance(decision, GateDecision) or decision.report not in names:
            continue
        if to_plain(decision.policy) == policy and live in (decision.baseline_release, decision.release):
            return decision
    return None


def ensure_deployed(
    project: Project, made: Build, route: str, *, strategy: str | None, requested_by: str, reason: str
) -> tuple[Deployment | None, bool]:
    """The deployment of this release on the route, and whether it is a new one."""
    release = name_of(made.release)
    latest = latest_deployment(project, route, release)
    if latest is not None:
        return latest, False
    supersede_waiting(project, route, requested_by=requested_by)
    live = pointer(project.ledger, route)
    config = project.settings.rollout
    chosen = cast(Strategy, strategy or config.strategy)
    if live is None or live.live_release is None:
        chosen = "blue-green"
    deployment = request_deployment(
        project.ledger,
        project=project.name,
        route=route,
        release=release,
        strategy=chosen,
        plan=plan_of(chosen, config, then="canary" if chosen == "shadow" else None),
        requested_by=requested_by,
        reason=reason,
    )
    return deployment, True


def supersede_waiting(project: Project, route: str, *, requested_by: str) -> None:
    """Take back a deployment that nobody has begun, such as one from before the first `flyball up`."""
    for stored in open_deployments(project.ledger):
        steps = history(project.ledger, stored.id)
        waiting = not steps or steps[-1][0].state == "requested"
        if isinstance(stored.record, Deployment) and stored.record.route == route and waiting:
            rollback(project.ledger, route, requested_by=requested_by, reason="a newer release takes its place")


def latest_deployment(project: Project, route: str, release: str) -> Deployment | None:
    """The last deployment of a release on a route, unless another release has replaced it since.

    One that failed or was rolled back counts: only `flyball deploy` tries such a release again.
    """
    for stored in project.ledger.find(Deployment, limit=500):
        record = stored.record
        if isinstance(record, Deployment) and (record.route, record.release) == (route, release):
            steps = history(project.ledger, record.id)
            return None if steps and steps[-1][0].state == "retired" else record
    return None
