"""Feedback: genuine, owned, durable, once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.gateway.recording.ingester import ingest_once
from flyball.gateway.recording.segment_format import FeedbackEntry
from flyball.records.identity import request_id, uuid7
from flyball.security.principals import create_key
from flyball.storage import traffic
from flyball.storage.ledger import Ledger
from mock_engine import MockEngine
from running_gateway import KEY, RunningGateway, arm, chat, table

TEAMS = (("web", "shop"), ("mobile", "shop"), ("other", "bank"), ("alone", None))


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture
def gateway(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "gateway", table(arm(engine)), ledger=ledger) as running:
        yield running


def feedback(gateway: RunningGateway, body: Any, **headers: str) -> tuple[int, Any]:
    status, _, answer = gateway.post("/v1/feedback", body, **headers)
    return status, answer


def ask(gateway: RunningGateway, **headers: str) -> str:
    status, answered, _ = gateway.post("/v1/chat/completions", chat(), **headers)
    assert status == 200
    return answered["x-flyball-request-id"]


def test_feedback_is_on_disk_when_it_is_acknowledged_and_finds_its_answer(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    identifier = ask(gateway)
    status, answer = feedback(gateway, {"request_id": identifier, "score": 1, "comment": "thanks, jane@example.com"})
    assert status == 202
    found = [entry for entry in gateway.entries() if isinstance(entry, FeedbackEntry)]
    assert [entry.feedback.id for entry in found] == [answer["id"]]
    ingest_once(gateway.ingest_context(ledger))
    (stored,) = traffic.feedback_of(ledger, identifier)
    assert (stored.id, stored.score, stored.has_comment) == (answer["id"], 1.0, True)


def test_the_same_feedback_has_the_same_id_and_is_kept_once(gateway: RunningGateway, ledger: Ledger) -> None:
    identifier = ask(gateway)
    ids = {feedback(gateway, {"request_id": identifier, "label": "refund"})[1]["id"] for _ in range(3)}
    other = feedback(gateway, {"request_id": identifier, "label": "delivery"})[1]["id"]
    assert len(ids) == 1 and other not in ids
    ingest_once(gateway.ingest_context(ledger))
    assert len(traffic.feedback_of(ledger, identifier)) == 2


def test_feedback_by_the_callers_own_id_reaches_the_request(gateway: RunningGateway, ledger: Ledger) -> None:
    identifier = ask(gateway, **{"x-flyball-client-id": "order-4711"})
    status, answer = feedback(gateway, {"client_id": "order-4711", "correction": "delivery"})
    assert (
        status == 202
        and answer["id"] == feedback(gateway, {"client_id": "order-4711", "correction": "delivery"})[1]["id"]
    )
    ingest_once(gateway.ingest_context(ledger))
    assert [item.id for item in traffic.feedback_of(ledger, identifier)] == [answer["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_id": "x"},
        {"score": 1},
        {"request_id": "x", "client_id": "y", "score": 1},
        {"client_id": "y", "score": 2},
        {"client_id": "y", "score": "good"},
        {"client_id": "y", "scores": 1},
        {"client_id": "y", "label": "z" * 300},
        {"client_id": "", "score": 1},
        [],
        b"{",
    ],
)
def test_a_feedback_that_says_nothing_clear_is_a_400_that_says_what_is_wrong(
    gateway: RunningGateway, body: Any
) -> None:
    status, answer = feedback(gateway, body)
    assert status == 400 and answer["error"]["code"] in ("invalid_feedback", "invalid_json")
    if isinstance(body, dict) and "scores" in body:
        assert "scores" in answer["error"]["message"]


def test_a_forged_id_is_a_404(gateway: RunningGateway) -> None:
    genuine = ask(gateway)
    forged = [uuid7(), "nonsense", genuine[:-1] + ("0" if genuine[-1] != "0" else "1"), request_id(b"k" * 32, "local")]
    for identifier in forged:
        assert feedback(gateway, {"request_id": identifier, "score": 1})[0] == 404, identifier


def test_another_keys_request_is_a_403_and_an_admins_business(gateway: RunningGateway, ledger: Ledger) -> None:
    local = ask(gateway)
    _, one = create_key(ledger, name="one")
    _, two = create_key(ledger, name="two")
    _, admin = create_key(ledger, name="boss", role="admin")
    end = time.monotonic() + 1
    while gateway.get("/v1/models")[0] != 401:
        assert time.monotonic() < end
        time.sleep(0.02)
    bearer = {
        name: {"authorization": f"Bearer {secret}"} for name, secret in (("one", one), ("two", two), ("boss", admin))
    }
    mine = ask(gateway, **bearer["one"])
    body = {"request_id": mine, "score": 0}
    assert feedback(gateway, body, **bearer["one"])[0] == 202
    assert feedback(gateway, body, **bearer["two"])[0] == 403
    assert feedback(gateway, body, **bearer["boss"])[0] == 202
    assert feedback(gateway, {"request_id": local, "score": 0}, **bearer["two"])[0] == 403
    assert feedback(gateway, {"request_id": local, "score": 0}, **bearer["boss"])[0] == 202
    assert feedback(gateway, {"request_id": uuid7(), "score": 0}, **bearer["boss"])[0] == 404


def test_keys_of_one_team_speak_of_each_others_requests(gateway: RunningGateway, ledger: Ledger) -> None:
    secrets = {name: create_key(ledger, name=name, team=team)[1] for name, team in TEAMS}
    end = time.monotonic() + 1
    while gateway.get("/v1/models")[0] != 401:
        assert time.monotonic() < end
        time.sleep(0.02)
    bearer = {name: {"authorization": f"Bearer {secret}"} for name, secret in secrets.items()}
    body = {"request_id": ask(gateway, **bearer["web"]), "score": 1}
    assert {name: feedback(gateway, body, **headers)[0] for name, headers in bearer.items()} == {
        "web": 202,
        "mobile": 202,
        "other": 403,
        "alone": 403,
    }


def test_feedback_counts_among_its_keys_requests_a_minute(gateway: RunningGateway, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="one", requests_per_minute=5, concurrency=1)
    bearer = {"authorization": f"Bearer {secret}"}
    end = time.monotonic() + 1
    while gateway.get("/v1/models")[0] != 401:
        assert time.monotonic() < end
        time.sleep(0.02)
    identifier = ask(gateway, **bearer)
    answers = [feedback(gateway, {"request_id": identifier, "score": n / 10}, **bearer) for n in range(8)]
    assert [status for status, _ in answers].count(202) == 4
    assert answers[-1][0] == 429 and answers[-1][1]["error"]["code"] == "requests_limit_exceeded"


def test_feedback_is_smaller_than_a_request_may_be(gateway: RunningGateway) -> None:
    identifier = ask(gateway)
    longest = {"request_id": identifier, "correction": "\u00e9" * 100_000, "comment": "\u00e9" * 20_000}
    assert feedback(gateway, longest)[0] == 202
    status, answer = feedback(gateway, b"x" * 800_000)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_only_an_admin_judges_and_a_verdict_says_something(gateway: RunningGateway, ledger: Ledger) -> None:
    _, client = create_key(ledger, name="one")
    _, admin = create_key(ledger, name="boss", role="admin")
    end = time.monotonic() + 1
    while gateway.get("/v1/models")[0] != 401:
        assert time.monotonic() < end
        time.sleep(0.02)
    one, boss = ({"authorization": f"Bearer {secret}"} for secret in (client, admin))
    mine = ask(gateway, **one)
    verdict = {"request_id": mine, "score": 0, "judge": "ann"}
    status, answer = feedback(gateway, verdict, **one)
    assert status == 403 and "only an admin key may judge" in answer["error"]["message"]
    status, answer = feedback(gateway, {"request_id": mine, "comment": "hm", "judge": "ann"}, **boss)
    assert status == 400 and "score" in answer["error"]["message"]
    ids = {
        feedback(gateway, {"request_id": mine, "score": 0, **judge}, **boss)[1]["id"]
        for judge in ({}, {"judge": "ann"}, {"judge": "ann"}, {"judge": "ben"})
    }
    assert len(ids) == 3  # a verdict is not the same as an opinion, and two judges are two
    ingest_once(gateway.ingest_context(ledger))
    assert {one.judge for one in traffic.feedback_of(ledger, mine)} == {None, "ann", "ben"}


def test_any_worker_takes_feedback_before_the_request_is_in_the_ledger(
    gateway: RunningGateway, engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    identifier = ask(gateway)
    with RunningGateway(tmp_path / "other", table(arm(engine)), ledger=ledger, worker=1) as other:
        assert feedback(other, {"request_id": identifier, "score": 1})[0] == 202
    assert KEY.mac_key == gateway.context.project_key.mac_key
