"""What a database's error means for a person: the cause, its value, and the cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flyball.errors import CorruptionError, EnvironmentMissing, FlyballError, LockedError


class LedgerAway(EnvironmentMissing):
    """The ledger's server does not answer: it is down, or cannot be reached."""

    code = "ledger_away"


_DAMAGED = (
    CorruptionError,
    "is damaged",
    "move it away and restore a backup; `flyball run` brings back the records of the build",
)
_FULL = (EnvironmentMissing, "has no space left to write", "free space on its disk, then run the command again")
_DENIED = (EnvironmentMissing, "cannot be opened or written", "check the path and its permissions, or ledger.url")
_SILENT = (LedgerAway, "does not answer", "start the server, or check ledger.url in flyball.yaml")
_BUSY = (LockedError, "is held by another process", "wait for it to end, then run the command again")

_SQLITE: dict[str, tuple[type[FlyballError], str, str]] = {
    "CORRUPT": _DAMAGED,
    "NOTADB": _DAMAGED,
    "FULL": _FULL,
    "READONLY": _DENIED,
    "CANTOPEN": _DENIED,
    "PERM": _DENIED,
    "IOERR": (EnvironmentMissing, "cannot be read or written", "check the disk: it may be full, failing or gone"),
    "BUSY": _BUSY,
    "LOCKED": _BUSY,
}
_POSTGRESQL: dict[str, tuple[type[FlyballError], str, str]] = {  # by SQLSTATE, longest prefix first
    "25P03": (LockedError, "ended a transaction that was idle", "run the command again"),
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "55P03": _BUSY,
    "53100": _FULL,
    "42501": _DENIED,
    "25006": _DENIED,
    "57P": _SILENT,
    "08": _SILENT,
    "28": _DENIED,
    "3D": _DENIED,
    "40": _BUSY,
    "53": _SILENT,
}


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn the errors of disk, server and file into Flyball's own; programming errors pass as they are."""
    try:
        yield
    except PoolTimeout as error:
        where = engine.url.render_as_string(hide_password=True)
        raise LockedError(f"every connection to the ledger {where} is in use", cure="send less at once") from error
    except DBAPIError as error:
        known = explain(error, engine)
        if known is None:
            raise
        raise known from error


def explain(error: DBAPIError, engine: Engine) -> FlyballError | None:
    """The error a person should see; None for one that only a bug of ours can cause."""
    found = _lookup(error.orig)
    if found is None and error.connection_invalidated:
        found = _SILENT
    if found is None:
        return None
    kind, what, cure = found
    where = engine.url.render_as_string(hide_password=True)
    return kind(f"the ledger {where} {what}: {str(error.orig).strip()}", cure=cure)


def _lookup(cause: Any) -> tuple[type[FlyballError], str, str] | None:
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None:
        return _SQLITE.get(str(name).split("_")[1])
    if hasattr(cause, "sqlstate"):
        state = cause.sqlstate
        if state is None:  # no server spoke: it could not be reached
            return _SILENT if type(cause).__name__ == "OperationalError" else None
        return next((known for prefix, known in _POSTGRESQL.items() if state.startswith(prefix)), None)
    return None
