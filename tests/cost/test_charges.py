"""Spend: every dollar once, by kind, key and release, and per good answer."""

from __future__ import annotations

import pytest

from flyball.cost.charges import charge, summary
from flyball.cost.config import CostConfig
from flyball.cost.prices import machine_usd, request_usd
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback
from record_samples import feedback_record, request_record
from traffic_rows import add_request


def test_prices_are_per_million_tokens_and_per_hour() -> None:
    config = CostConfig(machine_usd_per_hour=3.6, prompt_usd_per_million=1.0, completion_usd_per_million=2.0)
    assert request_usd(config, prompt_tokens=1000, completion_tokens=500) == pytest.approx(0.002)
    assert machine_usd(config, 10) == pytest.approx(0.01)


def test_an_empty_ledger_has_spent_nothing_and_divides_by_nothing(ledger: Ledger) -> None:
    costs = summary(ledger)
    assert (costs.total_usd, costs.requests, costs.per_request_usd, costs.per_good_answer_usd) == (0, 0, None, None)
    assert costs.by_kind == {}


def test_all_spend_is_shared_among_requests_and_good_answers(ledger: Ledger) -> None:
    charge(ledger, kind="training", subject="run", usd=0.5, quantity=60.0)
    charge(ledger, kind="evaluation", subject="report", usd=0.1, quantity=10.0)
    requests = [request_record(key_id=key, release=r * 64, cost_usd=0.1) for key, r in ("ax", "ay", "bx", "bx")]
    said = [
        feedback_record(request=requests[0].id, score=1.0),
        feedback_record(request=requests[0].id, score=0.0),  # the latest wins
        feedback_record(request=requests[1].id, score=0.5),
        feedback_record(request=requests[2].id, score=None, has_correction=True),
        feedback_record(request=requests[3].id, score=None, has_correction=False, label="fine"),
        feedback_record(request=None, client_id="unknown", score=1.0),
    ]
    with ledger.begin() as connection:
        for request in requests:
            add_request(connection, request)
        for feedback in said:
            add_feedback(connection, feedback)
    costs = summary(ledger)
    assert costs.by_kind == pytest.approx({"training": 0.5, "evaluation": 0.1, "serving": 0.4})
    assert costs.by_key == pytest.approx({"a": 0.2, "b": 0.2})
    assert costs.by_release == pytest.approx({"x" * 64: 0.3, "y" * 64: 0.1})
    assert (costs.requests, costs.good_answers) == (4, 2)
    assert costs.total_usd == pytest.approx(1.0)
    assert costs.per_request_usd == pytest.approx(0.25)
    assert costs.per_good_answer_usd == pytest.approx(0.5)


def test_what_a_shadow_costs_is_visible_as_such_and_on_no_keys_account(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        add_request(connection, request_record(key_id="app", cost_usd=0.1))
        add_request(connection, request_record(key_id="app", cost_usd=0.3, variant="shadow", mirrors="r1"))
    costs = summary(ledger)
    assert costs.by_kind == pytest.approx({"serving": 0.1, "shadow": 0.3})
    assert costs.by_key == pytest.approx({"app": 0.1})
    assert (costs.requests, costs.total_usd) == (1, pytest.approx(0.4))
