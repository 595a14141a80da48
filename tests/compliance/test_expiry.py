"""What was kept long enough is forgotten, in order: originals first, redacted texts later, records never."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, func, select

from flyball.compliance import retention
from flyball.compliance.retention import Expired, expire
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import get_request, payload_of
from traffic_samples import START_MS, WEEK_MS, Traffic

DAY_MS = 86_400_000


def test_nothing_is_forgotten_before_its_time(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask(user="C1")
    assert expire(ledger, START_MS + WEEK_MS - 1) == Expired(sealed=0, redacted=0, keys=0)
    assert payload_of(ledger, request) is not None


def test_originals_go_first_then_the_redacted_text_and_the_record_stays(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask(user="C1", at_ms=START_MS)
    young = traffic.ask(user="C1", at_ms=START_MS + 20 * DAY_MS)
    assert expire(ledger, START_MS + WEEK_MS).sealed == 1
    payload = payload_of(ledger, request)
    assert payload is not None and payload.sealed is None and payload.redacted is not None
    assert expire(ledger, START_MS + 31 * DAY_MS, retention_days=30) == Expired(sealed=1, redacted=1, keys=0)
    assert payload_of(ledger, request) is None and get_request(ledger, request).id == request
    assert payload_of(ledger, young) is not None


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_what_is_kept_and_what_was_forgotten_is_not_looked_through_again(ledger: Ledger) -> None:
    Traffic(ledger).ask_many(["a"] * 40, at_ms=START_MS)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(ledger.engine, "before_cursor_execute")
    def note(connection: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    expire(ledger, START_MS)
    sealed, redacted = list(asked)
    with ledger.read() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values) for one, values in (sealed, redacted)]
        details = [plan.one().detail for plan in plans]
    assert "USING INDEX payloads_by_expiry (project=? AND expires_ms<?)" in details[0]
    assert "USING INDEX payloads_redacted_only (project=? AND id<?)" in details[1]


def test_keys_of_single_requests_go_with_their_originals_and_keys_of_people_stay(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask(at_ms=START_MS)
    traffic.say(request, correction="esim", at_ms=START_MS + DAY_MS)
    traffic.ask(user="C1", at_ms=START_MS)
    assert expire(ledger, START_MS + WEEK_MS) == Expired(sealed=2, redacted=0, keys=0), "its feedback is still sealed"
    assert expire(ledger, START_MS + WEEK_MS + DAY_MS) == Expired(sealed=1, redacted=0, keys=1)
    with ledger.read() as connection:
        owners = connection.execute(select(tables.subject_keys.c.subject)).scalars().all()
    assert owners == [traffic.key.hash("subject", "C1")]


def test_a_large_backlog_goes_in_small_transactions(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    Traffic(ledger).ask_many(["a"] * 40, at_ms=START_MS)
    done = expire(ledger, START_MS + 60 * DAY_MS)
    assert done == Expired(sealed=40, redacted=40, keys=40)
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.payloads)).scalar_one() == 0
