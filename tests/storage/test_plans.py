"""How SQLite finds things in a ledger of millions of rows: never by reading a whole project, nor by sorting one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from flyball.console import request_list
from flyball.storage import traffic
from flyball.storage.ledger import Ledger, open_ledger
from record_samples import request_record

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
LARGE = ("requests", "feedback", "payloads")


def plans(ledger: Ledger, ask: Callable[[], object]) -> list[str]:
    """How each SELECT of `ask` is answered."""
    asked: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    ask()
    event.remove(ledger.engine, "before_cursor_execute", note)
    selects = [(statement, values) for statement, values in asked if statement.startswith("SELECT")]
    assert selects
    with ledger.read() as connection:
        return [
            row.detail
            for statement, values in selects
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]


def taken_in(ledger: Ledger) -> None:
    """As the ingester asks before each batch."""
    with ledger.begin() as connection:
        traffic.add_requests(connection, ledger.project, [request_record() for _ in range(50)])


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: traffic.search_requests(ledger),
        lambda ledger: traffic.search_requests(ledger, route="shop", before_seq=9),
        lambda ledger: traffic.search_requests(ledger, outcome="error"),
        lambda ledger: traffic.search_requests(ledger, text="parcel"),
        lambda ledger: traffic.requests_since(ledger, after_seq=9),
        lambda ledger: traffic.requests_since(ledger, route="shop", release="1" * 64, after_seq=9),
        lambda ledger: traffic.requests_of_subject(ledger, "s" * 64),
        lambda ledger: request_list._texts(ledger, [str(number) for number in range(50)]),
        lambda ledger: taken_in(ledger),
    ],
)
def test_no_question_reads_or_sorts_a_whole_project(ledger: Ledger, ask: Callable[[Ledger], object]) -> None:
    found = plans(ledger, lambda: ask(ledger))
    assert not [line for line in found if line.endswith("(project=?)") or "ORDER BY" in line], found


def test_the_process_that_made_the_ledger_knows_the_statistics_too(tmp_path: Path, ledger_url: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/new.db", project="shop")
    assert plans(ledger, lambda: traffic.search_requests(ledger)) == ["SCAN requests"]
    ledger.close()


def test_every_index_of_a_large_table_has_its_statistics(ledger: Ledger) -> None:
    with ledger.read() as connection:
        indexes = connection.exec_driver_sql("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'").all()
        known = connection.exec_driver_sql("SELECT tbl, idx FROM sqlite_stat1").all()
    assert sorted(map(tuple, known)) == sorted((table, name) for table, name in indexes if table in LARGE)
