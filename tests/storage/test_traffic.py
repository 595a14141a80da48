"""Requests, feedback and payloads: each once, found by what people ask for."""

from __future__ import annotations

import pytest

from flyball.errors import NotFoundError
from flyball.records import RequestRecord
from flyball.records.identity import uuid7
from flyball.storage import traffic
from flyball.storage.ledger import Ledger
from record_samples import feedback_record, request_record
from traffic_rows import add_payload, add_request


def add(ledger: Ledger, *records: RequestRecord) -> list[bool]:
    with ledger.begin() as connection:
        return [add_request(connection, record) for record in records]


def test_a_request_comes_back_as_it_went_in_and_is_added_once(ledger: Ledger) -> None:
    record = request_record(subject="s" * 64, error="engine fell", first_token_ms=None)
    assert add(ledger, record, record) == [True, False]
    assert traffic.get_request(ledger, record.id) == record


def test_a_request_that_is_not_there_says_where_ids_come_from(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="x-flyball-request-id"):
        traffic.get_request(ledger, uuid7())


def test_requests_go_on_from_any_place_by_route_and_release(ledger: Ledger) -> None:
    records = [request_record(route=route, release=release * 64) for route, release in ("ax", "ay", "bx", "ax")]
    add(ledger, *records)
    seen = traffic.requests_since(ledger)
    assert [item.record for item in seen] == records
    assert [item.record for item in traffic.requests_since(ledger, after_seq=seen[1].seq)] == records[2:]
    by_both = traffic.requests_since(ledger, route="a", release="x" * 64)
    assert [item.record for item in by_both] == [records[0], records[3]]
    assert [item.record for item in traffic.requests_since(ledger, limit=2)] == records[:2]


def test_feedback_is_added_once_and_found_by_request(ledger: Ledger) -> None:
    request = request_record()
    said = [feedback_record(request=request.id, score=0.2), feedback_record(), feedback_record(request=request.id)]
    with ledger.begin() as connection:
        assert [traffic.add_feedback(connection, item) for item in (*said, said[0])] == [True, True, True, False]
    assert traffic.feedback_of(ledger, request.id) == [said[0], said[2]]


def test_a_callers_own_id_leads_to_the_newest_request_of_that_key_alone(ledger: Ledger) -> None:
    first, second = (request_record(key_id="k1", client_id="order-7") for _ in "12")
    add(ledger, first, second, request_record(key_id="k2", client_id="order-7"))
    with ledger.begin() as connection:
        assert traffic.resolve_client_id(connection, "shop", "k1", "order-7") == second.id
        assert traffic.resolve_client_id(connection, "shop", "k3", "order-7") is None
        assert traffic.resolve_client_id(connection, "other", "k1", "order-7") is None


def test_a_payload_is_kept_beside_its_request_and_only_once(ledger: Ledger) -> None:
    values = {"id": uuid7(), "project": "shop", "subject": "s", "redacted": '{"text":"hi"}', "expires_ms": 5}
    with ledger.begin() as connection:
        add_payload(connection, sealed=b"\x00\xff", **values)
        add_payload(connection, sealed=b"other", **values)
    found = traffic.payload_of(ledger, values["id"])
    assert found is not None and (found.sealed, found.redacted, found.subject, found.expires_ms) == (
        b"\x00\xff",
        '{"text":"hi"}',
        "s",
        5,
    )
    assert traffic.payload_of(ledger, uuid7()) is None


def test_all_requests_of_a_person_are_found(ledger: Ledger) -> None:
    mine = [request_record(subject="me") for _ in range(3)]
    add(ledger, mine[0], request_record(subject="you"), *mine[1:], request_record(subject=None))
    assert [item.record for item in traffic.requests_of_subject(ledger, "me")] == mine


def test_searching_goes_back_in_time_by_route_release_outcome_and_text(ledger: Ledger) -> None:
    texts = ["100% refund", "1000 refunds", "Größe", 'say "hi"']
    records = [request_record(outcome="error" if "Gr" in text else "ok") for text in texts]
    add(ledger, *records)
    with ledger.begin() as connection:
        for record, text in zip(records, texts, strict=True):
            add_payload(connection, id=record.id, project="shop", subject="s", sealed=b"", redacted=text, expires_ms=0)

    def found(**wanted: object) -> list[RequestRecord]:
        return [item.record for item in traffic.search_requests(ledger, **wanted)]  # type: ignore[arg-type]

    assert found() == records[::-1]
    assert found(limit=1) == records[3:]
    assert found(text="REFUND") == [records[1], records[0]]
    assert found(text="100% r") == [records[0]]  # no wildcard
    assert found(outcome="error", route="shop") == [records[2]]
    assert found(release="0" * 64) == []
    last = traffic.search_requests(ledger, limit=2)[-1]
    assert found(before_seq=last.seq) == [records[1], records[0]]
