"""The ledger: records once, in one order, whole or not at all, over threads, forks and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.records import DatasetVersion, Deployment, fingerprint
from flyball.storage import tables
from flyball.storage.ledger import Ledger, open_ledger
from record_samples import deployment_record

DATASET = DatasetVersion(
    project="shop",
    task="classification",
    settings="s" * 64,
    parents=(),
    sources=(),
    splits=(),
    labels=("refund", "größe"),
    rows_in=10,
    dropped={"empty": 1},
    changed={},
    redaction="p",
)


def test_a_record_comes_back_as_it_went_in_with_what_was_recorded_beside_it(ledger: Ledger) -> None:
    assert ledger.append(DATASET, recorded={"code": "1.0", "größe": [1, None]})
    found = ledger.get(fingerprint(DATASET))
    assert found.record == DATASET
    assert found.recorded == {"code": "1.0", "größe": [1, None]}


def test_appending_again_adds_nothing(ledger: Ledger) -> None:
    assert [ledger.append(DATASET) for _ in range(3)] == [True, False, False]
    assert len(ledger.find(DatasetVersion)) == 1


def test_edges_lead_back_and_forth(ledger: Ledger) -> None:
    child = replace(DATASET, parents=(fingerprint(DATASET),))
    ledger.append(DATASET)
    ledger.append(child, links=[("source", "c" * 64)])
    assert {(edge.relation, edge.parent) for edge in ledger.parents(fingerprint(child))} == {
        ("parent", fingerprint(DATASET)),
        ("source", "c" * 64),
    }
    assert [edge.child for edge in ledger.children(fingerprint(DATASET))] == [fingerprint(child)]


def test_the_first_digits_of_a_fingerprint_are_enough_when_only_one_record_has_them(ledger: Ledger) -> None:
    ledger.append(DATASET)
    assert ledger.get(fingerprint(DATASET)[:12]).record == DATASET
    for strange in ("", "1234567", "%" * 12, "_" * 12, fingerprint(DATASET)[:7]):
        with pytest.raises(NotFoundError):
            ledger.get(strange)


def test_an_ambiguous_beginning_is_refused(ledger: Ledger) -> None:
    twins = [deployment_record(id=f"{'a' * 12}{n}") for n in "12"]
    for twin in twins:
        ledger.append(twin)
    with pytest.raises(InputError, match="several records"):
        ledger.get("a" * 12)


def test_records_are_found_in_ledger_order_from_any_place(ledger: Ledger) -> None:
    made = [deployment_record() for _ in range(5)]
    for deployment in made:
        ledger.append(deployment)
    oldest_first = ledger.find(Deployment, newest_first=False)
    assert [stored.record for stored in oldest_first] == made
    assert [stored.record for stored in ledger.find(Deployment, limit=2)] == made[:-3:-1]
    after = oldest_first[2].seq
    assert [stored.record for stored in ledger.find(Deployment, after_seq=after, newest_first=False)] == made[3:]


def test_projects_in_one_database_do_not_see_each_other(ledger: Ledger, ledger_url: str) -> None:
    ledger.append(DATASET)
    other = open_ledger(ledger_url, project="other")
    assert other.find(DatasetVersion) == []
    with pytest.raises(NotFoundError):
        other.get(fingerprint(DATASET))
    other.close()


def test_a_record_changed_behind_our_back_is_found(ledger: Ledger) -> None:
    ledger.append(DATASET)
    with ledger.begin() as connection:
        body = connection.execute(select(tables.records.c.body)).scalar_one()
        connection.execute(update(tables.records).values(body=bytes(body).replace(b"refund", b"REFUND")))
    with pytest.raises(CorruptionError, match="does not have the content that its name promises"):
        ledger.get(fingerprint(DATASET))


def test_a_record_of_an_unknown_type_says_that_a_newer_version_wrote_it(ledger: Ledger) -> None:
    ledger.append(DATASET)
    with ledger.begin() as connection:
        connection.execute(update(tables.records).values(type="Unheard"))
    with pytest.raises(CorruptionError, match="unknown type Unheard"):
        ledger.get(fingerprint(DATASET))


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.begin() as connection:
        ledger.append(DATASET, connection=connection)
        1 / 0  # noqa: B018
    assert ledger.find(DatasetVersion) == []


def test_a_reader_sees_one_moment_however_much_is_written_meanwhile(ledger: Ledger) -> None:
    count = select(func.count()).select_from(tables.records)
    with ledger.read() as connection:
        assert connection.execute(count).scalar_one() == 0
        ledger.append(DATASET)
        assert connection.execute(count).scalar_one() == 0
    with ledger.read() as connection:
        assert connection.execute(count).scalar_one() == 1


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    with pytest.raises(Exception, match=r"read-?only"), ledger.read() as connection:
        connection.execute(insert(tables.suppressions).values(project="shop", hash="h", at_ms=0))
    with ledger.begin() as connection:  # and the same pooled connection may write again
        connection.execute(insert(tables.suppressions).values(project="shop", hash="h", at_ms=0))


def test_a_reader_never_waits_for_a_writer(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        ledger.append(DATASET, connection=connection)
        began = time.monotonic()
        assert ledger.find(DatasetVersion) == []
        assert time.monotonic() - began < 1.0
    assert len(ledger.find(DatasetVersion)) == 1


def test_whoever_goes_on_after_a_sequence_number_misses_nothing_that_many_writers_add(ledger: Ledger) -> None:
    def write() -> None:
        for _ in range(20):
            with ledger.begin() as connection:
                ledger.append(deployment_record(), connection=connection)
                time.sleep(0.001)  # holds its sequence number before it commits

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    last = 0
    while any(writer.is_alive() for writer in writers) or ledger.find(Deployment, after_seq=last, limit=1):
        for stored in ledger.find(Deployment, after_seq=last, newest_first=False):
            seen.append(stored.id)
            last = stored.seq
    assert len(seen) == len(set(seen)) == 80


def test_a_fork_gets_connections_of_its_own_and_harms_none_of_its_parents(ledger: Ledger) -> None:
    ledger.append(DATASET)  # the pool now holds a used connection
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                ledger.append(deployment_record())
                status = 0 if ledger.get(fingerprint(DATASET)).record == DATASET else 2
            finally:
                os._exit(status)
        children.append(child)
    for _ in range(20):
        ledger.append(deployment_record())
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(ledger.find(Deployment)) == 23


KILLED = """
import os, signal, sys
from record_samples import deployment_record
from flyball.storage.ledger import open_ledger
ledger = open_ledger(sys.argv[1], project="shop")
whole = deployment_record(reason="whole")
ledger.append(whole)
with ledger.begin() as connection:
    ledger.append(deployment_record(reason="half"), connection=connection)
    ledger.append(deployment_record(reason="half"), connection=connection)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_between_two_statements_leaves_nothing_half_written(ledger: Ledger, ledger_url: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    killed = subprocess.run([sys.executable, "-c", KILLED, ledger_url], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert [stored.record.reason for stored in ledger.find(Deployment)] == ["whole"]  # type: ignore[union-attr]
    with ledger.read() as connection:
        edges = connection.execute(select(tables.edges.c.child).distinct()).scalars().all()
    assert edges == [ledger.find(Deployment)[0].id]
    assert ledger.append(deployment_record())  # and nobody's lock is left behind


def test_sequence_numbers_are_never_used_again(ledger: Ledger) -> None:
    ledger.append(deployment_record())
    first = ledger.find(Deployment)[0].seq
    with ledger.begin() as connection:
        connection.execute(delete(tables.records))
    ledger.append(deployment_record())
    assert ledger.find(Deployment)[0].seq > first


def test_sqlite_keeps_what_was_acknowledged_and_overwrites_what_was_erased(sqlite_ledger: Ledger) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    with sqlite_ledger.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in wanted}
    assert found == wanted


def test_the_ledger_imports_no_heavy_library() -> None:
    heavy = {"alembic", "cryptography", "psycopg", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm"}
    code = f"import sys, flyball.storage.ledger; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
