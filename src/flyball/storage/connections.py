"""Connections with the settings that the ledger's promises need. I/O: makes the folder of a SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError

from flyball.errors import EnvironmentMissing, InputError

_PATIENCE_S = 30
"""How long a writer waits for the one before it."""


_CONNECT_S = 5
"""How long a server may take to accept a connection, unless the URL says otherwise."""


def connect(url: str) -> Engine:
    """A SQLAlchemy engine with the settings that the ledger's promises need."""
    if url.startswith("postgresql"):
        return _connect_postgresql(url)
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or path.name in ("", ":memory:"):
        raise InputError(f"unknown ledger URL {url!r}", cure="use sqlite:///PATH or postgresql://USER@HOST/NAME")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot make the ledger's folder {path.parent}: {error.strerror}",
            cure="check its permissions and the disk, or set ledger.url in flyball.yaml",
        ) from error
    engine = create_engine(
        url,
        connect_args={"timeout": _PATIENCE_S, "isolation_level": None},
        pool_use_lifo=True,  # each connection has a cache of its own: idle ones must not take turns in filling theirs
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_postgresql(url: str) -> Engine:
    try:
        patience = {} if "connect_timeout" in url else {"connect_timeout": _CONNECT_S}
        engine = create_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True, connect_args=patience
        )
    except ModuleNotFoundError as error:
        raise EnvironmentMissing(
            "the PostgreSQL driver is not installed", cure='pip install "flyball[postgres]"'
        ) from error
    except (ArgumentError, ValueError) as error:
        raise InputError("the ledger URL is not one", cure="use postgresql://USER@HOST:PORT/NAME") from error
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged write survives a power cut
        "secure_delete=ON",  # erased bytes are overwritten
        "foreign_keys=ON",
        "journal_size_limit=16777216",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """SQLite's driver begins nothing by itself; a writer takes the lock at once, so that it cannot fail half-way."""
    readonly = connection.get_execution_options().get("readonly", False)
    raw: Any = connection.connection.dbapi_connection
    raw.execute(f"PRAGMA query_only={int(readonly)}")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def _configure_postgresql(connection: Any, _record: object) -> None:
    """No writer waits or stands still for ever: one that was paused mid-way is ended, and has written nothing."""
    connection.execute(f"SET lock_timeout = '{_PATIENCE_S}s'")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{2 * _PATIENCE_S}s'")
    connection.commit()
