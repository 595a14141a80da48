"""Store one step of a deployment: its transition and the pointer it moves, in one fenced transaction. I/O: ledger."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select

from flyball.records import Deployment, DeploymentState, Transition
from flyball.rollout.state_machine import LEGAL
from flyball.storage import leases, tables
from flyball.storage.deployments import Pointer, add_transition, move_pointer, read_pointer
from flyball.storage.leases import Lease
from flyball.storage.ledger import Ledger, stored


def store(
    ledger: Ledger, lease: Lease, deployment: Deployment, transition: Transition, *, after: Transition | None
) -> bool:
    """Store a step that was decided after seeing `after`; False when somebody was quicker (decide again).

    LockedError when the lease is lost. Going live moves the route's pointer to the release; rolling back what is live
    moves it to the release before, which is still hot.
    """
    with ledger.begin() as connection:
        leases.check(connection, lease)
        current = lock_route(connection, ledger.project, deployment.route)
        last = last_of(connection, deployment.id)
        if last != after or (last is not None and transition.state not in LEGAL[last.state]):
            return False
        live = current.live_deployment if current else None
        if transition.state == "live" and live != deployment.replaces:
            return False
        add_transition(connection, ledger.project, transition, epoch=lease.epoch)
        if transition.state == "live":
            move_pointer(
                connection, ledger.project, deployment.route, release=deployment.release, deployment=deployment.id
            )
        if transition.state == "rolled_back" and live == deployment.id and deployment.replaces:
            before = ledger.get(deployment.replaces, connection=connection).record
            assert isinstance(before, Deployment)
            move_pointer(connection, ledger.project, deployment.route, release=before.release, deployment=before.id)
    return True


def lock_route(connection: Connection, project: str, route: str) -> Pointer | None:
    """The route's pointer, which nobody else moves until this transaction ends."""
    column = tables.pointers.c
    if connection.dialect.name == "postgresql":  # SQLite's writers wait for each other as it is
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", (project, route))
    connection.execute(select(column.version).where(column.project == project, column.route == route))
    return read_pointer(connection, project, route)


def last_of(connection: Connection, deployment: str) -> Transition | None:
    """The last transition of a deployment."""
    column = tables.transitions.c
    query = select(column.body).where(column.deployment == deployment).order_by(column.seq.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return msgspec.json.decode(bytes(row.body), type=Transition) if row else None


def state_of(connection: Connection, deployment: str) -> DeploymentState:
    """The state a deployment is in."""
    last = last_of(connection, deployment)
    return last.state if last else "requested"


def live_deployments(ledger: Ledger) -> list[Deployment]:
    """Deployments that are live or still hot behind the live one, oldest first."""
    record, step = tables.records.c, tables.transitions.c
    later = tables.transitions.alias()
    query = (
        select(tables.records)
        .join(tables.transitions, step.deployment == record.id)
        .where(record.project == ledger.project, step.project == ledger.project, step.state == "live")
        .where(~select(later.c.seq).where(later.c.deployment == step.deployment, later.c.seq > step.seq).exists())
        .order_by(record.seq)
    )
    with ledger.read() as connection:
        found = [stored(row).record for row in connection.execute(query)]
    return [one for one in found if isinstance(one, Deployment)]
