"""Who may call, and how much."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from sqlalchemy import text

from flyball.errors import RefusedError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.worker import Gateway
from flyball.security.principals import create_key, revoke_key
from flyball.storage.ledger import Ledger, now_ms
from flyball.storage.routing import RoutingTable
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, table


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture
def gateway(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> Iterator[RunningGateway]:
    engine.behaviour, engine.delay_s = "ok", 0.0
    with RunningGateway(tmp_path / "gateway", table(arm(engine)), ledger=ledger) as running:
        yield running


def ask(gateway: RunningGateway, secret: str, **fields: Any) -> tuple[int, dict[str, str], Any]:
    return gateway.post("/v1/chat/completions", chat(**fields), authorization=f"Bearer {secret}")


def until(condition: Any, *, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began


def test_no_key_is_needed_on_loopback_until_the_first_is_created_and_then_it_is(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    assert gateway.post("/v1/chat/completions", chat())[0] == 200
    assert gateway.requests()[-1].record.key_id == "local"
    principal, secret = create_key(ledger, name="app")
    until(lambda: gateway.post("/v1/chat/completions", chat())[0] == 401, seconds=1.0)
    assert ask(gateway, secret)[0] == 200
    assert gateway.requests()[-1].record.key_id == principal.id
    assert gateway.get("/v1/models")[0] == 401
    assert gateway.post("/v1/feedback", {})[0] == 401


def test_a_revoked_key_is_refused_within_a_second_and_closes_the_door_behind_it(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    principal, secret = create_key(ledger, name="app")
    until(lambda: ask(gateway, secret)[0] == 200 and gateway.get("/v1/models")[0] == 401, seconds=1.0)
    revoke_key(ledger, principal.id)
    until(lambda: ask(gateway, secret)[0] == 401, seconds=1.0)
    assert gateway.post("/v1/chat/completions", chat())[0] == 401, "revoked is not the same as never created"


def test_a_connection_that_is_kept_open_is_asked_for_its_key_each_time(gateway: RunningGateway, ledger: Ledger) -> None:
    first, first_secret = create_key(ledger, name="first")
    second, second_secret = create_key(ledger, name="second")
    _, short = create_key(ledger, name="short", expires_ms=now_ms() + 1500)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.port)) as connection:

        def status(secret: str | None) -> int:
            headers = {"authorization": f"Bearer {secret}"} if secret else {}
            connection.request("POST", "/v1/chat/completions", msgspec.json.encode(chat()), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert status(first_secret) == 200
        kept = connection.sock
        assert [status(first_secret), status(second_secret), status(first_secret)] == [200, 200, 200]
        owners = [one.record.key_id for one in gateway.requests()[-4:]]
        assert owners == [first.id, first.id, second.id, first.id]
        assert [status(secret) for secret in (None, first_secret[:-1], first_secret + "x")] == [401, 401, 401]
        assert status(short) == 200
        until(lambda: status(short) == 401, seconds=2.0)
        revoke_key(ledger, second.id)
        until(lambda: status(second_secret) == 401, seconds=1.0)
        assert status(first_secret) == 200
        assert connection.sock is kept, "all of it on one connection"


def test_wrong_and_expired_keys_are_401_in_openais_words(gateway: RunningGateway, ledger: Ledger) -> None:
    _, expired = create_key(ledger, name="old", expires_ms=1)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    for secret in ("fb-wrong", expired):
        with pytest.raises(openai.AuthenticationError):
            gateway.client(secret).models.list()


def test_a_key_reaches_its_own_routes_only(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> None:
    shop = table(arm(engine)).routes[0]
    other = msgspec.structs.replace(shop, name="other", default=False)
    routes = RoutingTable(version=1, project="shop", routes=(other, shop))
    _, secret = create_key(ledger, name="app", routes=("other",))
    with RunningGateway(tmp_path / "gateway", routes, ledger=ledger) as gateway:
        assert ask(gateway, secret)[0] == 404
        assert ask(gateway, secret, model="other")[0] == 200
        assert [model.id for model in gateway.client(secret).models.list()] == ["other"]


def test_models_come_with_the_default_first(engine: MockEngine, tmp_path: Path) -> None:
    shop = table(arm(engine)).routes[0]
    other = msgspec.structs.replace(shop, name="a-other", default=False)
    routes = RoutingTable(version=1, project="shop", routes=(other, shop))
    with RunningGateway(tmp_path / "gateway", routes) as gateway:
        assert [model.id for model in gateway.client().models.list()] == ["shop", "a-other"]


def test_requests_per_minute_end_in_429_with_when_to_come_back(gateway: RunningGateway, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="app", requests_per_minute=3)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    answers = [ask(gateway, secret) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert answers[0][1]["x-ratelimit-limit-requests"] == "3"
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in answers[:3]] == ["2", "1", "0"]
    assert 15 <= int(answers[3][1]["retry-after"]) <= 21
    assert answers[3][2]["error"]["type"] == "rate_limit_error"
    with pytest.raises(openai.RateLimitError):
        gateway.client(secret).chat.completions.create(**chat())


def test_tokens_per_minute_count_what_was_really_used(gateway: RunningGateway, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="app", tokens_per_minute=400)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    statuses = [ask(gateway, secret, max_tokens=100)[0] for _ in range(14)]
    assert statuses.count(200) >= 10, "18 tokens each are used, though 150 are set aside"
    assert ask(gateway, secret, max_tokens=390)[0] == 429


def test_concurrency_is_limited(gateway: RunningGateway, engine: MockEngine, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="app", concurrency=2)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    engine.delay_s = 0.3
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(gateway, secret)[0])) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 429, 429, 429]
    engine.delay_s = 0.0
    assert ask(gateway, secret)[0] == 200


def test_a_hard_budget_stops_a_runaway_client(gateway: RunningGateway, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="runaway", budget_usd=0.0001)
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    statuses, headers, body = [], {}, {}
    for _ in range(300):
        status, headers, body = ask(gateway, secret, max_tokens=8)
        statuses.append(status)
        if statuses[-5:] == [429] * 5 and len(statuses) > 60:
            break
    spent = sum(entry.record.cost_usd for entry in gateway.requests())
    assert statuses[0] == 200 and statuses[-1] == 429
    assert body["error"]["code"] == "budget_exceeded" and int(headers["retry-after"]) > 0
    assert spent <= 0.0001 * 1.05


def test_an_open_address_without_keys_is_refused_at_start(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> None:
    config = GatewayConfig(host="0.0.0.0")
    gateway = RunningGateway(tmp_path / "gateway", table(arm(engine)), ledger=ledger, config=config)
    with pytest.raises(RefusedError) as caught:
        Gateway(gateway.context, worker=0)
    assert "flyball key create" in caught.value.cure
    create_key(ledger, name="app")
    Gateway(gateway.context, worker=0).state.writer.close()


def test_a_page_from_elsewhere_may_not_act_as_the_local_user(engine: MockEngine, tmp_path: Path) -> None:
    with RunningGateway(tmp_path / "gateway", table(arm(engine))) as gateway:
        assert gateway.post("/v1/chat/completions", chat(), origin="https://evil.example")[0] == 403
        assert gateway.post("/v1/chat/completions", chat(), origin="http://localhost:3000")[0] == 200


def test_keys_go_on_as_last_read_while_the_ledger_cannot_be_read(gateway: RunningGateway, ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="app")
    until(lambda: gateway.get("/v1/models")[0] == 401, seconds=1.0)
    with ledger.begin() as connection:
        connection.execute(text("ALTER TABLE api_keys RENAME TO away"))
    until(lambda: b'what="keys",result="failed"' in gateway.get("/metrics")[2], seconds=2.0)
    assert ask(gateway, secret)[0] == 200
    with ledger.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO api_keys"))
