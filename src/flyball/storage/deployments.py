"""Deployments as they stand: their transitions and each route's live pointer. I/O: the ledger.

Writers call `leases.check` in the same transaction; `epoch` keeps under which lease a transition was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, or_, select, update

from flyball.records import JSON, Transition, canonical_json
from flyball.storage import tables
from flyball.storage.ledger import Ledger, Stored, insert_new, now_ms, stored

CLOSED = ("live", "rolled_back", "failed", "retired")
"""States after which the rollout machine has nothing more to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What is live on a route and what was before; `version` grows with every move."""

    route: str
    live_release: str | None
    live_deployment: str | None
    previous_release: str | None
    previous_deployment: str | None
    version: int


def add_transition(connection: Connection, project: str, transition: Transition, *, epoch: int) -> None:
    """Append one step to a deployment's history."""
    connection.execute(
        tables.transitions.insert().values(
            project=project,
            deployment=transition.deployment,
            state=transition.state,
            step=transition.step,
            epoch=epoch,
            body=canonical_json(transition),
            at_ms=now_ms(),
        )
    )


def history(ledger: Ledger, deployment_id: str) -> list[tuple[Transition, int]]:
    """A deployment's transitions with their times, oldest first."""
    column = tables.transitions.c
    query = select(column.body, column.at_ms).where(
        column.project == ledger.project, column.deployment == deployment_id
    )
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(column.seq)).all()
    return [(msgspec.json.decode(bytes(row.body), type=Transition), row.at_ms) for row in rows]


def open_deployments(ledger: Ledger) -> list[Stored]:
    """Deployments that are not decided yet, oldest first."""
    record, step = tables.records.c, tables.transitions.c
    last = select(func.max(step.seq)).where(step.deployment == record.id).correlate(tables.records).scalar_subquery()
    query = (
        select(tables.records)
        .outerjoin(tables.transitions, step.seq == last)
        .where(record.project == ledger.project, record.type == "Deployment")
        .where(or_(step.state.is_(None), step.state.not_in(CLOSED)))
        .order_by(record.seq)
    )
    with ledger.read() as connection:
        return [stored(row) for row in connection.execute(query)]


def live_deployment(ledger: Ledger, route: str) -> Stored | None:
    """The deployment that a route points at."""
    found = pointer(ledger, route)
    return ledger.get(found.live_deployment) if found and found.live_deployment else None


def pointer(ledger: Ledger, route: str) -> Pointer | None:
    """Where a route points; None for a route that never had a release."""
    with ledger.read() as connection:
        return read_pointer(connection, ledger.project, route)


def read_pointer(connection: Connection, project: str, route: str) -> Pointer | None:
    """Where a route points, inside a transaction."""
    column = tables.pointers.c
    query = select(tables.pointers).where(column.project == project, column.route == route)
    row = connection.execute(query).mappings().one_or_none()
    return Pointer(**{name: row[name] for name in Pointer.__slots__}) if row else None


def move_pointer(
    connection: Connection, project: str, route: str, *, release: str | None, deployment: str | None
) -> Pointer:
    """Make a release live on a route, in one step; what was live becomes the previous one. Moving twice moves once."""
    old = read_pointer(connection, project, route)
    if old and (old.live_release, old.live_deployment) == (release, deployment):
        return old
    new = Pointer(
        route=route,
        live_release=release,
        live_deployment=deployment,
        previous_release=old.live_release if old else None,
        previous_deployment=old.live_deployment if old else None,
        version=old.version + 1 if old else 1,
    )
    values = {name: getattr(new, name) for name in Pointer.__slots__}
    if old is None:
        connection.execute(tables.pointers.insert().values(project=project, **values))
    else:
        where = (tables.pointers.c.project == project, tables.pointers.c.route == route)
        connection.execute(update(tables.pointers).where(*where).values(**values))
    return new


def keep_figures(ledger: Ledger, deployment: str, figures: Mapping[str, JSON]) -> None:
    """Keep how a deployment's arms stand, for people; the newest figures take the place of older ones."""
    row = {"project": ledger.project, "name": f"rollout:{deployment}"}
    state = {"through_seq": 0, "state": canonical_json({"at_ms": now_ms(), "figures": figures}).decode()}
    column = tables.monitors.c
    with ledger.begin() as connection:
        if not insert_new(connection, tables.monitors, row | state):
            same = (column.project == row["project"], column.name == row["name"])
            connection.execute(update(tables.monitors).where(*same).values(**state))


def figures_of(ledger: Ledger, deployment: str) -> tuple[dict[str, JSON], int] | None:
    """How a deployment's arms stood last, and when; None before there was traffic."""
    column = tables.monitors.c
    where = (column.project == ledger.project, column.name == f"rollout:{deployment}")
    with ledger.read() as connection:
        state = connection.execute(select(column.state).where(*where)).scalar_one_or_none()
    if state is None:
        return None
    kept = msgspec.json.decode(state)
    return kept["figures"], kept["at_ms"]


def routes(ledger: Ledger) -> list[str]:
    """Every route that has or had a release, by name."""
    column = tables.pointers.c
    with ledger.read() as connection:
        query = select(column.route).where(column.project == ledger.project).order_by(column.route)
        return list(connection.execute(query).scalars())
