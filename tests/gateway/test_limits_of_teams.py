"""Limits of keys and teams at the edge: which one refused, what answers say of them, and life without the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from flyball.errors import FlyballError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.worker import Gateway
from flyball.security.keyring_file import kept
from flyball.security.principals import create_key, revoke_key
from flyball.security.teams import set_team
from flyball.storage.ledger import Ledger, reach_ledger
from flyball.storage.routing import publish
from gateway_fleet import Fleet
from mock_engine import MockEngine
from running_gateway import KEY, RunningGateway, arm, chat, table

AWAY = "postgresql://flyball@127.0.0.1:1/nothing?connect_timeout=1"


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


def gateway_of(engine: MockEngine, tmp_path: Path, ledger: Ledger | None, **options: Any) -> RunningGateway:
    engine.behaviour, engine.delay_s = "ok", 0.0
    return RunningGateway(
        tmp_path / "gateway", table(arm(engine)), ledger=ledger, keyring_file=tmp_path / "keyring", **options
    )


def ask(gateway: RunningGateway, secret: str, **fields: Any) -> tuple[int, dict[str, str], Any]:
    return gateway.post("/v1/chat/completions", chat(**fields), authorization=f"Bearer {secret}")


def test_a_request_must_fit_its_key_and_its_team_and_the_refusal_says_which(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    set_team(ledger, "support", {"requests_per_minute": 5})
    _, small = create_key(ledger, name="small", team="support", requests_per_minute=2)
    _, large = create_key(ledger, name="large", team="support", requests_per_minute=100)
    with gateway_of(engine, tmp_path, ledger) as gateway:
        assert [ask(gateway, small)[0] for _ in range(3)] == [200, 200, 429]
        assert ask(gateway, small)[2]["error"]["message"] == ("the limit of this key is reached: 2 requests per minute")
        assert [ask(gateway, large)[0] for _ in range(4)] == [200, 200, 200, 429]
        status, headers, body = ask(gateway, large)
        assert status == 429 and body["error"]["code"] == "requests_limit_exceeded"
        assert body["error"]["message"] == "the limit of the team support is reached: 5 requests per minute"
        assert body["error"]["type"] == "rate_limit_error" and int(headers["retry-after"]) >= 1
        with pytest.raises(openai.RateLimitError):
            gateway.client(large).chat.completions.create(**chat())


def test_a_budget_of_a_team_stops_all_its_keys(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> None:
    set_team(ledger, "support", {"budget_usd": 0.0001})
    secrets = [create_key(ledger, name=name, team="support")[1] for name in "ab"]
    _, other = create_key(ledger, name="other")
    with gateway_of(engine, tmp_path, ledger) as gateway:
        statuses = [ask(gateway, secrets[n % 2], max_tokens=8)[0] for n in range(120)]
        assert statuses[0] == 200 and statuses[-5:] == [429] * 5
        for secret in secrets:
            status, headers, body = ask(gateway, secret, max_tokens=8)
            assert status == 429 and body["error"]["code"] == "budget_exceeded"
            assert "the team support" in body["error"]["message"] and int(headers["retry-after"]) > 60
        assert ask(gateway, other)[0] == 200
        assert sum(entry.record.cost_usd for entry in gateway.requests()) <= 0.0001 + 2e-6


def test_answers_tell_the_whole_limits_of_the_key_whatever_the_workers_share(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    set_team(ledger, "support", {"requests_per_minute": 50, "tokens_per_minute": 9000})
    _, both = create_key(ledger, name="both", team="support", requests_per_minute=600)
    _, none = create_key(ledger, name="none")
    with gateway_of(engine, tmp_path, ledger, config=GatewayConfig(workers=4)) as gateway:
        headers = ask(gateway, both, max_tokens=10)[1]
        assert headers["x-ratelimit-limit-requests"] == "600"
        assert headers["x-ratelimit-remaining-requests"] == "599"
        assert float(headers["x-ratelimit-reset-requests"].removesuffix("s")) == pytest.approx(0.1, abs=0.05)
        assert headers["x-ratelimit-limit-tokens"] == "9000", "the team's, where the key has none of its own"
        assert 8900 <= int(headers["x-ratelimit-remaining-tokens"]) < 9000
        assert not any(name.startswith("x-ratelimit") for name in ask(gateway, none)[1])


def test_a_request_that_can_never_fit_is_told_so_and_clients_do_not_try_again(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    _, secret = create_key(ledger, name="app", tokens_per_minute=100)
    with gateway_of(engine, tmp_path, ledger) as gateway:
        before = len(engine.bodies)
        status, headers, body = ask(gateway, secret, max_tokens=60, n=2)
        assert status == 429 and "more than the limit of this key: 100 tokens per minute" in body["error"]["message"]
        assert headers["x-should-retry"] == "false" and "retry-after" not in headers
        assert ask(gateway, secret, max_tokens=20)[0] == 200
        assert len(engine.bodies) == before + 1


def test_a_limit_of_a_team_that_is_changed_holds_within_a_second(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    _, secret = create_key(ledger, name="app", team="support")
    with gateway_of(engine, tmp_path, ledger) as gateway:
        assert {ask(gateway, secret)[0] for _ in range(5)} == {200}
        set_team(ledger, "support", {"requests_per_minute": 1})
        time.sleep(0.9)
        assert [ask(gateway, secret)[0] for _ in range(3)] == [200, 429, 429]
        set_team(ledger, "support", {"requests_per_minute": 6000})
        time.sleep(0.9)
        assert {ask(gateway, secret)[0] for _ in range(5)} == {200}


def test_while_the_ledger_is_stuck_keys_with_limits_get_429_and_the_others_are_served(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    _, limited = create_key(ledger, name="limited", requests_per_minute=60)
    _, free = create_key(ledger, name="free")
    with gateway_of(engine, tmp_path, ledger) as gateway:
        assert ask(gateway, limited)[0] == 200
        with ledger.begin_beside("limits"):
            status, headers, body = ask(gateway, limited)
            assert status == 429 and body["error"]["code"] == "limits_unavailable"
            assert "does not answer" in body["error"]["message"] and int(headers["retry-after"]) >= 1
            began = time.monotonic()
            assert ask(gateway, free)[0] == 200
            assert time.monotonic() - began < 0.5
        deadline = time.monotonic() + 10
        while ask(gateway, limited)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_worker_that_starts_while_the_ledger_is_away_knows_the_last_keys(
    engine: MockEngine, tmp_path: Path, ledger: Ledger
) -> None:
    _, secret = create_key(ledger, name="app")
    _, limited = create_key(ledger, name="limited", requests_per_minute=60)
    gone, revoked = create_key(ledger, name="gone")
    revoke_key(ledger, gone.id)
    with gateway_of(engine, tmp_path, ledger) as gateway:
        assert ask(gateway, secret)[0] == 200
        assert b'flyball_gateway_keys_from_file{worker="0"} 0' in gateway.get("/metrics")[2]
    found = kept(tmp_path / "keyring", KEY, project="shop")
    assert found is not None and abs(found[1] / 1000 - time.time()) < 60
    with gateway_of(engine, tmp_path, reach_ledger(AWAY, project="shop")) as gateway:
        assert ask(gateway, secret)[0] == 200
        assert ask(gateway, revoked)[0] == 401
        assert gateway.post("/v1/chat/completions", chat())[0] == 401
        status, _, body = ask(gateway, limited)
        assert status == 429 and body["error"]["code"] == "limits_unavailable"
        assert b'flyball_gateway_keys_from_file{worker="0"} 1' in gateway.get("/metrics")[2]
        deadline = time.monotonic() + 3.0
        while b'what="keys",result="failed"' not in gateway.get("/metrics")[2]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("file", ["missing", "planted"])
def test_a_worker_that_knows_no_keys_does_not_start_without_the_ledger(
    engine: MockEngine, tmp_path: Path, file: str
) -> None:
    if file == "planted":
        (tmp_path / "keyring").write_bytes(b"anything")
    gateway = gateway_of(engine, tmp_path, reach_ledger(AWAY, project="shop"))
    with pytest.raises(FlyballError):
        Gateway(gateway.context, worker=0)


def test_a_revoked_key_is_refused_by_all_of_four_workers_within_a_second(
    engine: MockEngine, tmp_path: Path, ledger: Ledger, ledger_url: str
) -> None:
    engine.behaviour, engine.delay_s = "ok", 0.0
    publish(tmp_path / "routes.json", table(arm(engine, slots=64)))
    made, secret = create_key(ledger, name="app")
    with Fleet(tmp_path, ledger_url) as fleet:
        last_ok, stop = [0.0] * 4, threading.Event()

        def hammer(number: int) -> None:
            while not stop.is_set():  # a connection each, so that all workers are asked
                with openai.OpenAI(base_url=f"http://127.0.0.1:{fleet.port}/v1", api_key=secret) as client:
                    try:
                        client.models.list()
                        last_ok[number] = time.monotonic()
                    except openai.AuthenticationError:
                        time.sleep(0.01)

        threads = [threading.Thread(target=hammer, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        revoke_key(ledger, made.id)
        revoked_at = time.monotonic()
        time.sleep(2.0)
        stop.set()
        for thread in threads:
            thread.join(10)
    print(f"last accepted {max(last_ok) - revoked_at:+.3f} s after the revocation")
    assert min(last_ok) > 0
    assert max(last_ok) - revoked_at < 1.0
