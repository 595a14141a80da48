"""The tables: created once, migrated whole, refused when newer."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text

from flyball.errors import EnvironmentMissing
from flyball.storage import schema, tables
from flyball.storage.connections import connect
from flyball.storage.database_errors import LedgerAway
from flyball.storage.ledger import Ledger, open_ledger, reach_ledger


def downgrade(engine: Engine, revision: str) -> None:
    """Take the tables back to an older revision; `base` removes them all."""
    with engine.begin() as connection:
        command.downgrade(schema.alembic_config(connection), revision)


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
    downgrade(ledger.engine, "base")
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
from flyball.storage.connections import connect
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


def test_budgets_of_the_first_version_are_kept_by_the_second_and_by_the_way_back(empty_url: str) -> None:
    engine = connect(empty_url)
    with schema._alone(engine) as connection:
        command.upgrade(schema.alembic_config(connection), "0001")
    rows = [("a", "open", 1.0, 0.0), ("b", "settled", 1.0, 0.25), ("c", "settled", 0.0, 0.5)]
    with engine.begin() as connection:
        for name, state, granted, spent in rows:
            connection.execute(
                text(
                    "INSERT INTO budget_slices VALUES (:id, 'shop', 'key:1', '2026-11', 'w', 1, :granted, :spent, "
                    ":state, 0)"
                ),
                {"id": name, "granted": granted, "spent": spent, "state": state},
            )
    schema.bring_up_to_date(engine)
    with engine.connect() as connection:
        (share,) = connection.execute(text("SELECT account, kind, spent, state FROM limit_shares")).all()
    assert tuple(share) == ("key:1", "usd", 1.75, "settled"), "an open slice counts in full"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO limit_shares VALUES ('shop', 'key:1', 'usd', '2026-11', 'w2', 0.5, 0.125, 'open')")
        )
        connection.execute(text("INSERT INTO limit_shares VALUES ('shop', 'key:1', 'seats', '', 'w2', 2, 0, 'open')"))
    downgrade(engine, "0001")
    with engine.connect() as connection:
        back = connection.execute(text("SELECT budget, period, spent_usd, state FROM budget_slices ORDER BY id")).all()
    assert [tuple(row) for row in back] == [
        ("key:1", "2026-11", 1.75, "settled"),
        ("key:1", "2026-11", 0.5, "settled"),
    ]
    schema.bring_up_to_date(engine)
    engine.dispose()


def test_the_indexes_for_retention_come_with_the_third_version_and_go_with_the_way_back(ledger: Ledger) -> None:
    def conditions() -> list[str]:
        with ledger.read() as connection:
            indexes = inspect(connection).get_indexes("payloads")
        found = [index.get("dialect_options", {}).get(f"{ledger.engine.dialect.name}_where") for index in indexes]
        return sorted(str(condition).strip("()") for condition in found if condition is not None)

    assert conditions() == ["sealed IS NOT NULL", "sealed IS NULL"]
    downgrade(ledger.engine, "0002")
    assert conditions() == []
    schema.bring_up_to_date(ledger.engine)
    assert conditions() == ["sealed IS NOT NULL", "sealed IS NULL"]


def test_a_ledger_that_is_away_at_the_start_is_brought_up_to_date_when_it_is_back(empty_url: str) -> None:
    away = reach_ledger("postgresql://flyball@127.0.0.1:1/nothing?connect_timeout=1", project="shop")
    with pytest.raises(LedgerAway, match="does not answer"), away.read():
        pass
    engine = connect(empty_url)
    away.engine.dispose()
    away.engine = engine  # as if the server had come back with an empty database
    with away.read() as connection:
        assert schema.current_version(connection) == schema.HEAD
    away.close()
