"""Teams: limits that hold for all keys of a team together. I/O: the ledger.

A key names its team when it is created; a team without limits of its own needs no entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import msgspec
from sqlalchemy import Connection, delete, func, or_, select

from flyball.errors import NotFoundError, RefusedError
from flyball.security import audit
from flyball.security.principals import LOCAL, Allowance, check_limits, check_team_name
from flyball.storage import tables
from flyball.storage.batches import upsert_many
from flyball.storage.ledger import Ledger, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team's name, its limits, and how many of its keys are not revoked."""

    name: str
    limits: Allowance
    created_ms: int
    keys: int


def set_team(ledger: Ledger, name: str, changes: Mapping[str, float | None], *, actor: str = LOCAL.name) -> Allowance:
    """Change the named limits of a team (None: no limit), creating it where needed; all its limits afterwards."""
    check_team_name(name)
    with ledger.begin() as connection:
        known = _find(connection, ledger.project, name)
        limits = replace(known[0] if known else Allowance(), **changes)  # type: ignore[arg-type]
        check_limits(limits)
        row = {
            "project": ledger.project,
            "name": name,
            "limits": msgspec.json.encode(asdict(limits)).decode(),
            "created_ms": known[1] if known else now_ms(),
        }
        upsert_many(connection, tables.teams, [row])
        audit.record(
            ledger, actor=actor, action="team.set", subject=name, details=asdict(limits), connection=connection
        )
    return limits


def remove_team(ledger: Ledger, name: str, *, actor: str = LOCAL.name) -> None:
    """End a team; RefusedError while keys of it live, which would lose their limits; NotFoundError for none."""
    column = tables.teams.c
    with ledger.begin() as connection:
        if _find(connection, ledger.project, name) is None:
            raise NotFoundError(f"no team {name} in project {ledger.project}", cure="see `flyball team list`")
        keys = _living_keys(connection, ledger.project).get(name, 0)
        if keys:
            raise RefusedError(
                f"{keys} keys of the team {name} would lose its limits",
                cure="revoke them first (`flyball key list`), or lift limits one by one: `flyball team set`",
            )
        connection.execute(delete(tables.teams).where(column.project == ledger.project, column.name == name))
        audit.record(ledger, actor=actor, action="team.remove", subject=name, details={}, connection=connection)


def list_teams(ledger: Ledger) -> list[Team]:
    """Every team with limits, by name."""
    column = tables.teams.c
    with ledger.read() as connection:
        keys = _living_keys(connection, ledger.project)
        rows = connection.execute(select(tables.teams).where(column.project == ledger.project).order_by(column.name))
        return [
            Team(
                name=row.name,
                limits=Allowance(**msgspec.json.decode(row.limits)),
                created_ms=row.created_ms,
                keys=keys.get(row.name, 0),
            )
            for row in rows
        ]


def _find(connection: Connection, project: str, name: str) -> tuple[Allowance, int] | None:
    column = tables.teams.c
    query = select(column.limits, column.created_ms).where(column.project == project, column.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else (Allowance(**msgspec.json.decode(row.limits)), row.created_ms)


def _living_keys(connection: Connection, project: str) -> dict[str, int]:
    column = tables.api_keys.c
    living = (column.revoked_ms.is_(None), or_(column.expires_ms.is_(None), column.expires_ms > now_ms()))
    query = select(column.team, func.count().label("keys")).where(column.project == project, *living)
    rows = connection.execute(query.where(column.team.is_not(None)).group_by(column.team))
    return {row.team: row.keys for row in rows}
