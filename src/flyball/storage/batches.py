"""Many rows in one statement. I/O: the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, Executable, Table


def insert_many_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, leaving out those whose key is there already."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # loads in 25 ms, only where it is used

        statement: Any = insert(table).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        statement = insert_sqlite(table).on_conflict_do_nothing()
    connection.execute(statement, [dict(row) for row in rows])


def upsert_many(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, object]], *, add: tuple[str, ...] = ()
) -> None:
    """Insert rows; those whose key is there already take the new values, or add them to the old (columns in `add`)."""
    if rows:
        connection.execute(_upsert(table, connection.dialect.name, add), [dict(row) for row in rows])


@cache
def _upsert(table: Table, dialect: str, add: tuple[str, ...]) -> Executable:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # as above

        statement: Any = insert(table)
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        statement = insert_sqlite(table)
    keys = [column.name for column in table.primary_key]
    new = {name: value for name, value in statement.excluded.items() if name not in keys}
    new |= {name: table.c[name] + statement.excluded[name] for name in add}
    return cast(Executable, statement.on_conflict_do_update(index_elements=keys, set_=new))
