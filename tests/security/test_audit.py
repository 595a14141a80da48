"""The audit chain: any change to the past is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from flyball.errors import CorruptionError, InputError
from flyball.security import audit
from flyball.storage import tables
from flyball.storage.ledger import Ledger, open_ledger

COLUMNS = [column.name for column in tables.audit.c if column.name not in ("seq", "project")]


def fill(ledger: Ledger, count: int = 5) -> list[str]:
    return [
        audit.record(ledger, actor="ann", action="deploy", subject=f"r{n}", details={"größe": n, "why": None})
        for n in range(count)
    ]


def test_entries_come_back_newest_first_and_the_chain_holds(ledger: Ledger) -> None:
    hashes = fill(ledger)
    assert audit.verify(ledger) == 5
    assert [entry.hash for entry in audit.entries(ledger, 3)] == hashes[:-4:-1]
    newest = audit.entries(ledger, 1)[0]
    assert (newest.actor, newest.action, newest.subject, newest.details) == (
        "ann",
        "deploy",
        "r4",
        {"größe": 4, "why": None},
    )
    assert newest.previous == hashes[3]


def test_an_empty_chain_holds(ledger: Ledger) -> None:
    assert audit.verify(ledger) == 0
    assert audit.head(ledger) == audit.GENESIS
    assert audit.verify(ledger, including=audit.GENESIS) == 0


def test_an_entry_lives_and_dies_with_the_deed_it_tells_of(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.begin() as connection:
        audit.record(ledger, actor="a", action="b", subject="c", details={}, connection=connection)
        1 / 0  # noqa: B018
    assert audit.verify(ledger) == 0


def test_details_that_cannot_be_canonical_are_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError):
        audit.record(ledger, actor="a", action="b", subject="c", details={"x": float("nan")})


def test_removing_the_newest_entries_is_found_by_whoever_kept_the_head(ledger: Ledger) -> None:
    fill(ledger)
    kept = audit.head(ledger)
    assert audit.verify(ledger, including=kept) == 5
    with ledger.begin() as connection:
        connection.execute(delete(tables.audit).where(tables.audit.c.hash == kept))
    assert audit.verify(ledger) == 4
    with pytest.raises(CorruptionError, match=f"{kept} is missing"):
        audit.verify(ledger, including=kept)


def test_each_project_has_a_chain_of_its_own(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 2)
    other = open_ledger(ledger_url, project="other")
    fill(other, 3)
    fill(ledger, 1)
    assert (audit.verify(ledger), audit.verify(other)) == (3, 3)
    other.close()


@pytest.fixture(scope="module")
def chain(sqlite_ledger: Ledger) -> Iterator[Ledger]:
    fill(sqlite_ledger)
    yield sqlite_ledger


@settings(max_examples=60)
@given(st.integers(0, 4), st.sampled_from(COLUMNS), st.data())
def test_changing_anything_is_found(chain: Ledger, place: int, column: str, draw: st.DataObject) -> None:
    row = rows(chain)[place]
    other: st.SearchStrategy[object] = st.integers(0, 2**40)
    if column != "at_ms":
        other = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=64)
    value = draw.draw(other.filter(lambda value: value != row[column]))
    where = tables.audit.c.seq == row["seq"]
    forgery = update(tables.audit).where(where).values({column: value})
    with changed(chain, forgery, place), pytest.raises(CorruptionError, match="entry"):
        audit.verify(chain)
    assert audit.verify(chain) == 5


@pytest.mark.parametrize("place", range(4))
def test_removing_an_entry_is_found(chain: Ledger, place: int) -> None:
    where = tables.audit.c.seq == rows(chain)[place]["seq"]
    with changed(chain, delete(tables.audit).where(where), place), pytest.raises(CorruptionError, match="gap"):
        audit.verify(chain)
    assert audit.verify(chain) == 5


def rows(chain: Ledger) -> list[dict[str, Any]]:
    with chain.read() as connection:
        found = connection.execute(select(tables.audit).order_by(tables.audit.c.seq)).mappings()
        return [dict(row) for row in found]


@contextmanager
def changed(chain: Ledger, forgery: Any, place: int) -> Iterator[None]:
    """The chain with one forgery, and afterwards as it was."""
    original = rows(chain)[place]
    with chain.begin() as connection:
        connection.execute(forgery)
    try:
        yield
    finally:
        with chain.begin() as connection:
            connection.execute(delete(tables.audit).where(tables.audit.c.seq == original["seq"]))
            connection.execute(insert(tables.audit).values(**original))
