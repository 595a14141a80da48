"""Leases: one holder at a time, and a holder that was replaced changes nothing."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select

from flyball.errors import LockedError
from flyball.storage import tables
from flyball.storage.leases import Lease, acquire, check, release, renew
from flyball.storage.ledger import Ledger, open_ledger


def held(ledger: Ledger, *, holder: str = "a", ttl_s: float = 60.0) -> Lease:
    lease = acquire(ledger, "control", holder=holder, ttl_s=ttl_s)
    assert lease is not None
    return lease


def test_only_one_may_hold_a_lease(ledger: Ledger) -> None:
    held(ledger)
    assert acquire(ledger, "control", holder="b", ttl_s=60.0) is None
    assert acquire(ledger, "other", holder="b", ttl_s=60.0) is not None


def test_a_lease_that_ended_passes_on_with_a_later_epoch(ledger: Ledger) -> None:
    first = held(ledger, ttl_s=0.0)
    assert held(ledger, holder="b").epoch > first.epoch


def test_a_lease_given_back_is_free_at_once(ledger: Ledger) -> None:
    first = held(ledger)
    release(ledger, first)
    assert held(ledger, holder="b").epoch > first.epoch


def test_a_restarted_holder_takes_its_own_lease_over_and_fences_its_former_self(ledger: Ledger) -> None:
    former, new = held(ledger), held(ledger)
    assert not renew(ledger, former, ttl_s=60.0)
    assert renew(ledger, new, ttl_s=60.0)


def test_a_replaced_holder_can_neither_renew_nor_release(ledger: Ledger) -> None:
    replaced = held(ledger, ttl_s=0.0)
    current = held(ledger, holder="b")
    assert not renew(ledger, replaced, ttl_s=60.0)
    release(ledger, replaced)
    with ledger.begin() as connection:
        check(connection, current)


@pytest.mark.parametrize("ended", ["replaced", "expired", "released"])
def test_a_write_under_a_lost_lease_is_undone(ledger: Ledger, ended: str) -> None:
    lease = held(ledger, ttl_s=60.0 if ended == "released" else 0.0)
    if ended == "replaced":
        held(ledger, holder="b")
    if ended == "released":
        release(ledger, lease)
    with pytest.raises(LockedError, match="a lost the lease control"), ledger.begin() as connection:
        connection.execute(insert(tables.suppressions).values(project="shop", hash="h", at_ms=0))
        check(connection, lease)
    with ledger.read() as connection:
        assert connection.execute(select(tables.suppressions)).all() == []


def test_nobody_takes_a_lease_over_between_its_check_and_the_end_of_what_it_guards(ledger: Ledger) -> None:
    lease, taken = held(ledger), threading.Event()

    def take_over() -> None:
        held(ledger)  # a restarted process of the same name
        taken.set()

    with ledger.begin() as connection:
        check(connection, lease)
        thread = threading.Thread(target=take_over)
        thread.start()
        assert not taken.wait(0.3)
    thread.join(10)
    assert taken.is_set()


def test_a_lease_nobody_ever_took_is_not_held(ledger: Ledger) -> None:
    with ledger.begin() as connection, pytest.raises(LockedError, match="is gone"):
        check(connection, Lease(name="nothing", epoch=1, holder="a"))


def test_of_many_who_ask_at_once_one_gets_it(ledger: Ledger, ledger_url: str) -> None:
    got: list[Lease | None] = []

    def ask(holder: str) -> None:
        own = open_ledger(ledger_url, project="shop")
        got.append(acquire(own, "control", holder=holder, ttl_s=60.0))
        own.close()

    askers = [threading.Thread(target=ask, args=(str(n),)) for n in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(got) == 6 and len([lease for lease in got if lease]) == 1
