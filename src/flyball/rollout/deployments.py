"""Ask for a deployment, take one back, let a paused one go on: what people and workflows do. I/O: writes the ledger.

Each is one transaction that holds the route's lock, so it never crosses a step of the control plane.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from flyball.errors import InputError, NotFoundError, RefusedError
from flyball.records import JSON, Deployment, DeploymentState, Strategy, Transition, name_of
from flyball.records.identity import short, uuid7
from flyball.rollout.admission import admitted_release, passing_decision, refuse_erased
from flyball.rollout.plans import check_plan
from flyball.rollout.state_machine import ENDED
from flyball.rollout.transitions import last_of, lock_route, state_of
from flyball.storage import tables
from flyball.storage.deployments import Pointer, add_transition, move_pointer, open_deployments, pointer
from flyball.storage.ledger import Ledger


def request_deployment(
    ledger: Ledger,
    *,
    project: str,
    route: str,
    release: str,
    strategy: Strategy,
    plan: Mapping[str, JSON],
    requested_by: str,
    reason: str,
) -> Deployment:
    """Store the wish to put a release on a route; RefusedError unless a gate passed exactly this release.

    Asking again for what is live or under way returns that deployment; another one under way is a RefusedError.
    """
    record = admitted_release(ledger, release)
    refuse_erased(ledger, record, release)
    now = pointer(ledger, route)
    if now and now.live_release == release and now.live_deployment:
        return _deployment(ledger, now.live_deployment)
    decision = passing_decision(ledger, release, live=now.live_release if now else None)
    deployment = Deployment(
        id=uuid7(),
        project=project,
        route=route,
        release=release,
        decision=name_of(decision),
        strategy=strategy,
        plan=dict(plan),
        replaces=now.live_deployment if now else None,
        requested_by=requested_by,
        reason=reason,
    )
    check_plan(deployment)  # a plan that makes no sense is refused here, not half-way
    return _store(ledger, deployment, now)


def _store(ledger: Ledger, deployment: Deployment, seen: Pointer | None) -> Deployment:
    with ledger.begin() as connection:
        current = lock_route(connection, ledger.project, deployment.route)
        if (current.live_deployment if current else None) != (seen.live_deployment if seen else None):
            raise RefusedError(
                f"the route {deployment.route} changed while the deployment was asked for", cure="try again"
            )
        under_way = _under_way(ledger, deployment.route, connection)
        if under_way and under_way.release == deployment.release:
            return under_way
        if under_way:
            raise RefusedError(
                f"deployment {under_way.id} of release {short(under_way.release)} is still under way on the route "
                f"{deployment.route}",
                cure="wait for it (`flyball status`), or take it back with `flyball rollback`",
            )
        ledger.append(deployment, connection=connection)
        requested = Transition(
            deployment=deployment.id,
            state="requested",
            step=0,
            evidence={"by": deployment.requested_by, "reason": deployment.reason, "decision": deployment.decision},
        )
        add_transition(connection, ledger.project, requested, epoch=0)
    return deployment


def rollback(ledger: Ledger, route: str, *, requested_by: str, reason: str) -> Transition:
    """Take back what is under way on a route, or else what is live; the transition that did it.

    While the release before is still hot the pointer moves at once. One that was scaled down is deployed again, and the
    live one goes on until it answers.
    """
    evidence: dict[str, JSON] = {"by": requested_by, "reason": reason}
    with ledger.begin() as connection:
        current = lock_route(connection, ledger.project, route)
        if under_way := _under_way(ledger, route, connection):
            return _take_back(ledger, connection, under_way.id, evidence | {"live": "unchanged"})
        if current is None or current.live_deployment is None:
            raise NotFoundError(f"nothing is live on the route {route}", cure="see `flyball status`")
        target = _target(ledger, current.live_deployment, connection)
        if state_of(connection, target.id) == "live":
            taken = _take_back(ledger, connection, current.live_deployment, evidence | {"back_to": target.id})
            move_pointer(connection, ledger.project, route, release=target.release, deployment=target.id)
            return taken
        return _return_to(ledger, connection, target, current, evidence)


def _take_back(ledger: Ledger, connection: Connection, deployment: str, evidence: dict[str, JSON]) -> Transition:
    last = last_of(connection, deployment)
    step = last.step if last else 0
    transition = Transition(deployment=deployment, state="rolled_back", step=step, evidence=evidence)
    add_transition(connection, ledger.project, transition, epoch=0)
    return transition


def _return_to(
    ledger: Ledger, connection: Connection, target: Deployment, current: Pointer, evidence: dict[str, JSON]
) -> Transition:
    """A new deployment of a release that had been live: its own decision still stands."""
    deployment = Deployment(
        id=uuid7(),
        project=ledger.project,
        route=target.route,
        release=target.release,
        decision=target.decision,
        strategy="blue-green",
        plan={"returns": target.id},
        replaces=current.live_deployment,
        requested_by=str(evidence["by"]),
        reason=f"rollback: {evidence['reason']}",
    )
    ledger.append(deployment, connection=connection)
    requested = Transition(
        deployment=deployment.id,
        state="requested",
        step=0,
        evidence=evidence | {"returns": target.id, "note": "it had been scaled down, so it starts first"},
    )
    add_transition(connection, ledger.project, requested, epoch=0)
    return requested


def _target(ledger: Ledger, live: str, connection: Connection) -> Deployment:
    """The nearest deployment before the live one whose release was good and was not erased."""
    name, seen = _deployment(ledger, live, connection).replaces, {live}
    while name is not None and name not in seen:
        seen.add(name)
        deployment = _deployment(ledger, name, connection)
        if state_of(connection, name) in ("live", "retired") and not _erased(connection, ledger, deployment):
            return deployment
        name = deployment.replaces
    raise RefusedError(
        "there is no release before this one to go back to", cure="deploy another one: `flyball deploy RELEASE`"
    )


def _erased(connection: Connection, ledger: Ledger, deployment: Deployment) -> bool:
    """Whether an erasure retired the release or deleted its model; one that is only marked may still stand in."""
    release = ledger.get(deployment.release, connection=connection).record
    names = [deployment.release, getattr(release, "model", deployment.release)]
    column = tables.erasures.c
    query = select(column.old).where(
        column.project == ledger.project, column.old.in_(names), column.effect.in_(("deleted", "retired"))
    )
    return connection.execute(query.limit(1)).one_or_none() is not None


def resume(ledger: Ledger, deployment: str, *, requested_by: str, reason: str) -> Transition:
    """Let a paused deployment go on from its step, with the evidence it has."""
    return _decide(ledger, deployment, "ramping", ("paused",), {"by": requested_by, "reason": reason})


def promote(
    ledger: Ledger, deployment: str, *, requested_by: str, reason: str, figures: Mapping[str, JSON] | None = None
) -> Transition:
    """Make a ramping or paused deployment live by a person's decision: its evidence, with the `figures` of that time.

    RefusedError when something else went live meanwhile.
    """
    evidence = {**(figures or {}), "by": requested_by, "reason": reason}
    return _decide(ledger, deployment, "live", ("ramping", "paused"), evidence)


def _decide(
    ledger: Ledger, name: str, state: DeploymentState, after: tuple[DeploymentState, ...], evidence: dict[str, JSON]
) -> Transition:
    deployment = _deployment(ledger, name)
    with ledger.begin() as connection:
        current = lock_route(connection, ledger.project, deployment.route)
        last = last_of(connection, name)
        if last is None or last.state not in after:
            raise InputError(
                f"deployment {name} is {last.state if last else 'requested'}, not {' or '.join(after)}",
                cure="see `flyball deploy history`",
            )
        if (current.live_deployment if current else None) != deployment.replaces:
            raise RefusedError(f"the route {deployment.route} has moved on since {name} began", cure="deploy it again")
        transition = Transition(deployment=name, state=state, step=last.step, evidence=evidence)
        add_transition(connection, ledger.project, transition, epoch=0)
        if state == "live":
            move_pointer(connection, ledger.project, deployment.route, release=deployment.release, deployment=name)
    return transition


def under_way(ledger: Ledger, route: str) -> Deployment:
    """The deployment on a route that is neither live nor over; NotFoundError when there is none."""
    with ledger.read() as connection:
        found = _under_way(ledger, route, connection)
    if found is None:
        raise NotFoundError(f"no deployment is under way on the route {route}", cure="see `flyball deploy history`")
    return found


def _under_way(ledger: Ledger, route: str, connection: Connection) -> Deployment | None:
    """The deployment on a route that is neither live nor ended."""
    for stored in open_deployments(ledger):
        record = stored.record
        if isinstance(record, Deployment) and record.route == route:
            state = state_of(connection, record.id)
            if state not in ENDED and state != "live":
                return record
    return None


def _deployment(ledger: Ledger, name: str, connection: Connection | None = None) -> Deployment:
    record = ledger.get(name, connection=connection).record
    if not isinstance(record, Deployment):
        raise NotFoundError(f"{name} is not a deployment", cure="see `flyball status`")
    return record
