"""The tables: created once, migrated whole, refused when newer."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text

from flyball.errors import EnvironmentMissing
from flyball.storage import schema, tables
from flyball.storage.connecting import connect
from flyball.storage.ledger import Ledger, open_ledger


def test_the_migrations_lead_to_exactly_the_tables_of_the_code(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def test_head_names_the_newest_migration(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        script = ScriptDirectory.from_config(schema.alembic_config(connection))
        assert script.get_heads() == [schema.HEAD]
        assert schema.current_version(connection) == schema.HEAD


def test_a_current_ledger_costs_one_select_and_no_alembic(ledger_url: str) -> None:
    engine = connect(ledger_url)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    schema.bring_up_to_date(engine)
    assert [statement for statement in statements if not statement.startswith("BEGIN")] == [
        "SELECT version_num FROM alembic_version"
    ]
    engine.dispose()
    code = f"import sys; from flyball.storage.ledger import open_ledger; open_ledger({ledger_url!r}, project='shop'); "
    loaded = subprocess.run(
        [sys.executable, "-c", code + "print('alembic' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "False\n"


def test_downgrading_removes_the_tables_and_upgrading_brings_them_back(ledger: Ledger) -> None:
    schema.downgrade(ledger.engine, "base")
    assert inspect(ledger.engine).get_table_names() == ["alembic_version"]
    schema.bring_up_to_date(ledger.engine)
    assert set(tables.metadata.tables) < set(inspect(ledger.engine).get_table_names())


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(ledger: Ledger, ledger_url: str) -> None:
    with ledger.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EnvironmentMissing, match=r"schema 9999, written by a newer Flyball.*\n.*upgrade flyball"):
        open_ledger(ledger_url, project="shop")
    with ledger.read() as connection:
        assert schema.current_version(connection) == "9999"


def test_a_migration_that_is_killed_leaves_nothing_behind(empty_url: str) -> None:
    code = f"""
import os, signal
from sqlalchemy import event
from flyball.storage import schema
from flyball.storage.connecting import connect
engine = connect({empty_url!r})
created = []
@event.listens_for(engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    created.append("CREATE TABLE" in statement)
    if sum(created) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
schema.bring_up_to_date(engine)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert inspect(connect(empty_url)).get_table_names() == []
    open_ledger(empty_url, project="shop").close()


def test_a_database_with_strange_tables_is_refused_and_left_alone(empty_url: str) -> None:
    engine = connect(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE requests (id INTEGER)"))
    with pytest.raises(EnvironmentMissing, match="has a table requests that is not of a ledger"):
        open_ledger(empty_url, project="shop")
    assert inspect(engine).get_table_names() == ["requests"]
    engine.dispose()


def test_many_processes_may_create_one_ledger_at_once(empty_url: str) -> None:
    code = f"from flyball.storage.ledger import open_ledger; open_ledger({empty_url!r}, project='shop').find(object)"
    children = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(child.communicate()[1], child.returncode) for child in children] == [(b"", 0)] * 4
