"""Who calls: API keys, stored hashed, and the principals they stand for. I/O: the ledger."""

from __future__ import annotations

import hashlib
import itertools
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from flyball.errors import InputError, NotFoundError
from flyball.records.identity import uuid7
from flyball.security import audit
from flyball.security.roles import ROLES, Role
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Limits of a team, each per minute, at once, or per month; None: no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller: its key's id, its role, the routes it may use (none named: all) and its limits (None: no limit).

    `team_limits` are those of its whole team, which hold beside its own.
    """

    id: str
    name: str
    role: Role
    team: str | None = None
    routes: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budget_usd: float | None = None
    expires_ms: int | None = None
    team_limits: Allowance | None = None


LOCAL = Principal(id="local", name="local", role="admin")
"""The caller on loopback while no key exists."""

MOST_OF_A_NAME = 90
LEAST_SECRET = 32
"""Characters: nobody guesses so many."""
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency", "budget_usd")


_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A key as an administrator sees it: never its secret."""

    principal: Principal
    created_ms: int
    revoked_ms: int | None


class Keyring:
    """Every key of a project at one moment, by the hash of its secret; a lookup costs one hash and no I/O."""

    def __init__(self, entries: Iterable[tuple[str, KeyEntry]], *, rows: object = None) -> None:
        self.entries = tuple(entries)
        self.number = next(_NUMBERS)
        """Tells it from every other keyring of this process, without keeping it alive."""
        self.rows = rows
        """What the ledger's rows said, to tell that nothing has changed."""
        self.ids = frozenset(entry.principal.id for _, entry in self.entries)
        self.teams = {entry.principal.id: entry.principal.team for _, entry in self.entries}
        """By the id of every key, revoked ones too."""
        self._valid = {digest: entry.principal for digest, entry in self.entries if entry.revoked_ms is None}

    @property
    def empty(self) -> bool:
        """Whether no key was ever created; a revoked one keeps the door closed."""
        return not self.ids

    def find(self, secret: str) -> Principal | None:
        """The principal of a secret; None when it is unknown, revoked or expired."""
        principal = self._valid.get(_digest(secret))
        if principal is None or (principal.expires_ms is not None and principal.expires_ms <= now_ms()):
            return None
        return principal


def create_key(
    ledger: Ledger,
    *,
    name: str,
    role: Role = "client",
    team: str | None = None,
    routes: tuple[str, ...] = (),
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrency: int | None = None,
    budget_usd: float | None = None,
    expires_ms: int | None = None,
    secret: str | None = None,
    actor: str = LOCAL.name,
) -> tuple[Principal, str]:
    """A key and its fresh secret, which is shown once: only its hash is stored.

    With a `secret` that was made elsewhere the key has that one, and one that has it already is left as it is.
    """
    principal = Principal(
        id=uuid7(),
        name=name,
        role=role,
        team=team,
        routes=tuple(routes),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrency=concurrency,
        budget_usd=budget_usd,
        expires_ms=expires_ms,
    )
    _check(principal)
    if secret is not None:
        _check_secret(secret)
    made = secret or f"fb-{secrets.token_urlsafe(32)}"
    with ledger.begin() as connection:
        if secret is not None and (known := _known(connection, ledger.project, secret)) is not None:
            return known, secret
        connection.execute(tables.api_keys.insert().values(**_row(ledger.project, principal, made)))
        details = {"name": name, "role": role, "routes": principal.routes}
        audit.record(
            ledger, actor=actor, action="key.create", subject=principal.id, details=details, connection=connection
        )
    return principal, made


def _check_secret(secret: str) -> None:
    if len(secret) < LEAST_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InputError(
            f"the secret has {len(secret)} characters, or other than printable ASCII ones",
            cure=f"use {LEAST_SECRET} or more random letters and digits, such as of `openssl rand -hex 24`",
        )


def _known(connection: Connection, project: str, secret: str) -> Principal | None:
    """The principal of a stored key, also of a revoked one."""
    column = tables.api_keys.c
    where = (column.project == project, column.secret_hash == _digest(secret))
    row = connection.execute(select(tables.api_keys).where(*where)).first()
    return None if row is None else _entry(row, {}).principal


def revoke_key(ledger: Ledger, id: str, *, actor: str = LOCAL.name) -> None:
    """End a key for good; NotFoundError when there is none. Revoking twice revokes once."""
    column = tables.api_keys.c
    where = (column.project == ledger.project, column.id == id)
    with ledger.begin() as connection:
        if connection.execute(select(column.id).where(*where)).one_or_none() is None:
            raise NotFoundError(f"no key {id} in project {ledger.project}", cure="see `flyball key list`")
        ended = update(tables.api_keys).where(*where, column.revoked_ms.is_(None)).values(revoked_ms=now_ms())
        if connection.execute(ended).rowcount:
            audit.record(ledger, actor=actor, action="key.revoke", subject=id, details={}, connection=connection)


def list_keys(ledger: Ledger) -> list[KeyEntry]:
    """Every key that was ever created, oldest first."""
    return [entry for _, entry in _entries(*_rows(ledger))]


def load_keyring(ledger: Ledger, *, last: Keyring | None = None) -> Keyring:
    """Every key as it stands now, with the limits of its team; `last` itself while nothing has changed."""
    rows = teams, keys = _rows(ledger)
    return last if last is not None and last.rows == rows else Keyring(_entries(teams, keys), rows=rows)


def _rows(ledger: Ledger) -> tuple[Sequence[Any], Sequence[Any]]:
    """Of teams and of keys; gateways ask for them more than once a second, and hardly ever for something new."""
    column, team = tables.api_keys.c, tables.teams.c
    query = select(tables.api_keys).where(column.project == ledger.project).order_by(column.id)  # UUIDv7: by time
    with ledger.read() as connection:
        teams = connection.execute(
            select(team.name, team.limits).where(team.project == ledger.project).order_by(team.name)
        ).all()
        return teams, connection.execute(query).all()


def _entries(teams: Sequence[Any], keys: Sequence[Any]) -> list[tuple[str, KeyEntry]]:
    allowances = {row.name: Allowance(**msgspec.json.decode(row.limits)) for row in teams}
    return [(row.secret_hash, _entry(row, allowances)) for row in keys]


def _entry(row: Any, teams: Mapping[str, Allowance]) -> KeyEntry:
    principal = Principal(
        id=row.id,
        name=row.name,
        role=row.role,
        team=row.team,
        routes=tuple(msgspec.json.decode(row.routes)),
        expires_ms=row.expires_ms,
        team_limits=teams.get(row.team),
        **msgspec.json.decode(row.limits),
    )
    return KeyEntry(principal=principal, created_ms=row.created_ms, revoked_ms=row.revoked_ms)


def _row(project: str, principal: Principal, secret: str) -> dict[str, object]:
    return {
        "id": principal.id,
        "project": project,
        "name": principal.name,
        "secret_hash": _digest(secret),
        "role": principal.role,
        "team": principal.team,
        "routes": msgspec.json.encode(principal.routes).decode(),
        "limits": msgspec.json.encode({limit: getattr(principal, limit) for limit in LIMITS}).decode(),
        "created_ms": now_ms(),
        "expires_ms": principal.expires_ms,
    }


def _check(principal: Principal) -> None:
    if not 0 < len(principal.name) <= 100:
        raise InputError(f"the key's name {principal.name!r} is empty or too long", cure="use 1 to 100 characters")
    if principal.role not in ROLES:
        raise InputError(f"unknown role {principal.role!r}", cure=f"use {' or '.join(ROLES)}")
    if principal.team is not None:
        check_team_name(principal.team)
    check_limits(principal)


def check_limits(limits: Allowance | Principal) -> None:
    """InputError for a limit that makes no sense."""
    for name in LIMITS:
        value = getattr(limits, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value}", cure="use a number above zero, or leave it out for no limit")


def check_team_name(name: str) -> None:
    """InputError for a name that a team cannot have."""
    if not 0 < len(name) <= MOST_OF_A_NAME or not name.isprintable() or name != name.strip():
        raise InputError(f"{name!r} cannot be a team's name", cure=f"use 1 to {MOST_OF_A_NAME} printable characters")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
