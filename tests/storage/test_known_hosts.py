"""Hosts of one ledger: who said something, and who is forgotten."""

from __future__ import annotations

from sqlalchemy import update

from flyball.storage import tables
from flyball.storage.hosts import FORGOTTEN_MS, HostState, known_hosts, leave, report
from flyball.storage.ledger import Ledger

STATE = HostState(free_bytes=1, releases={})


def silent_for(ledger: Ledger, host: str, ms: int) -> None:
    column = tables.monitors.c
    with ledger.begin() as connection:
        earlier = update(tables.monitors).where(column.name == f"host:{host}")
        connection.execute(earlier.values(through_seq=column.through_seq - ms))


def test_a_new_host_clears_away_those_that_are_long_gone_and_no_others(ledger: Ledger) -> None:
    for name in ("gone", "resting", "leaving"):
        report(ledger, name, STATE)
    silent_for(ledger, "gone", FORGOTTEN_MS + 1000)
    silent_for(ledger, "resting", FORGOTTEN_MS - 60_000)
    leave(ledger, "leaving")
    report(ledger, "resting-too", STATE)
    assert [host.name for host in known_hosts(ledger)] == ["resting", "resting-too"]
    report(ledger, "resting", STATE)  # speaks again
    assert known_hosts(ledger)[0].age_s < 60
