"""The ledger's schema version. I/O: creates, migrates and downgrades the tables.

When the tables are current that costs one SELECT; Alembic loads only to change something, under a lock that all
processes share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from flyball.errors import EnvironmentMissing
from flyball.storage import tables
from flyball.whole_files import held

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
"""The newest revision in migrations/versions."""

_ONE_MIGRATION = text("SELECT pg_advisory_xact_lock(715517)")  # any number, the same in every process


def bring_up_to_date(engine: Engine) -> None:
    """Create or migrate the tables; EnvironmentMissing when a newer Flyball wrote them."""
    if not _is_new_file(engine) and _quick_version(engine) == HEAD:
        return
    with _alone(engine) as connection:
        version = current_version(connection)
        if version == HEAD:
            return
        config = alembic_config(connection)
        _refuse_strange(config, version, connection)
        from alembic import command  # a quarter of a second, once per upgrade

        command.upgrade(config, "head")


def bring_to(engine: Engine, revision: str) -> None:
    """Create the tables of an empty database as a revision had them; EnvironmentMissing for one not known here."""
    with _alone(engine) as connection:
        if current_version(connection) is not None:
            return
        config = alembic_config(connection)
        _refuse_strange(config, None, connection)
        _refuse_strange(config, revision, connection)
        from alembic import command  # as above

        command.upgrade(config, revision)


def current_version(connection: Connection) -> str | None:
    """The revision that the tables are at; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration over our migrations, bound to one open transaction."""
    from alembic.config import Config  # as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def _refuse_strange(config: Config, version: str | None, connection: Connection) -> None:
    """Raise EnvironmentMissing for tables that a newer Flyball wrote, or that are none of ours."""
    from alembic.script import ScriptDirectory  # as above

    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    where = connection.engine.url.render_as_string(hide_password=True)
    taken = set(tables.metadata.tables).intersection(inspect(connection).get_table_names())
    if version is None and taken:
        raise EnvironmentMissing(
            f"the database {where} has a table {min(taken)} that is not of a ledger",
            cure="give Flyball a database of its own: ledger.url in flyball.yaml",
        )
    if version is not None and version not in known:
        raise EnvironmentMissing(
            f"the ledger {where} has schema {version}, written by a newer Flyball; this one knows up to {HEAD}",
            cure="pip install --upgrade flyball, or restore a backup from before the upgrade",
        )


def _is_new_file(engine: Engine) -> bool:
    """Whether a SQLite file is still empty: the process that creates it does so alone."""
    path = _file_of(engine)
    return path is not None and (not path.exists() or path.stat().st_size == 0)


def _quick_version(engine: Engine) -> str | None:
    try:
        with engine.connect().execution_options(readonly=True) as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except DBAPIError as error:
        missing = getattr(error.orig, "sqlstate", "") == "42P01" or "no such table" in str(error.orig)
        if missing:
            return None
        raise


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """One transaction over the whole schema that no other process shares: done whole or not at all."""
    path = _file_of(engine)
    if path is None:
        with engine.begin() as connection:
            connection.execute(_ONE_MIGRATION)
            yield connection
    else:
        with _locked(path.with_name(path.name + ".lock")), engine.begin() as connection:
            yield connection


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path))
        except OSError as error:
            raise EnvironmentMissing(
                f"cannot write {path}: {error.strerror}", cure=f"check the permissions of {path.parent} and its disk"
            ) from error
        yield


def _file_of(engine: Engine) -> Path | None:
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
