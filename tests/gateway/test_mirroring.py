"""Shadows get a share of the requests in copy: nobody ever sees, waits for or pays for their answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flyball.cost.config import CostConfig
from flyball.gateway.mirroring import MOST_AT_ONCE
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.routing import position
from flyball.security.principals import create_key
from flyball.storage.ledger import Ledger
from flyball.storage.routing import RoutingTable
from mock_engine import WORDS, MockEngine
from running_gateway import CANARY, LIVE, RunningGateway, arm, chat, release, table


def routes(live: MockEngine, shadow: MockEngine, *, share: float = 1.0, **changes: Any) -> RoutingTable:
    mirrored = arm(shadow, release=CANARY, variant="shadow", weight=share, slots=64)
    return table(arm(live, slots=64), msgspec.structs.replace(mirrored, deployment="d2", **changes))


def shadows(gateway: RunningGateway) -> list[RequestEntry]:
    return [entry for entry in gateway.requests() if entry.record.mirrors]


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_shadow_is_asked_the_same_in_its_own_way_and_its_answer_is_kept_as_no_ones(
    tmp_path: Path, stack: ExitStack, stream: bool
) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine())
    shadow.words = ["refund"]
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(live, shadow, prompt_path=release())))
    headers = {"x-flyball-conversation": "c1", "x-flyball-client-id": "mine"}
    with gateway.client().chat.completions.with_streaming_response.create(
        **chat("mail jane@example.com", user="jane", stream=stream), extra_headers=headers
    ) as raw:
        assert raw.headers["x-flyball-release"] == LIVE and raw.headers["x-flyball-variant"] == "live"
        assert "refund" not in raw.read().decode()
    until(lambda: shadows(gateway))
    (entry,) = shadows(gateway)
    original = next(entry for entry in gateway.requests() if not entry.record.mirrors)
    record, answered = entry.record, original.record
    assert (record.mirrors, record.variant, record.release, record.deployment) == (answered.id, "shadow", CANARY, "d2")
    assert (entry.answer, original.answer) == ("refund", "".join(WORDS))
    assert entry.messages == original.messages
    assert record.id != answered.id and (record.unit, record.key_id) == (answered.unit, answered.key_id)
    assert record.client_id is None and record.conversation is None  # no feedback can mean it
    assert record.subject == answered.subject  # erasure and export find it
    assert record.outcome == "ok" and record.cost_usd >= 0 and not record.stream
    assert "grammar" in shadow.bodies[0] and "jane@example.com" not in str(shadow.bodies[0])  # its own prompt path
    assert "stream" not in shadow.bodies[0]


@pytest.mark.parametrize("mode", ["hang", "drop", "500", "garbage", "400"])
def test_a_failing_shadow_fails_and_delays_no_answer(tmp_path: Path, stack: ExitStack, mode: str) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine(mode))
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(live, shadow)))
    began = time.monotonic()
    for _ in range(20):
        assert gateway.post("/v1/chat/completions", chat())[0] == 200
    assert time.monotonic() - began < 5.0
    if mode == "hang":
        until(lambda: shadow.most_active == MOST_AT_ONCE)
        assert "unmirrored_total" in str(gateway.get("/metrics")[2])  # dropped, and counted
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 5.0  # a drain waits for no shadow
        assert not shadows(gateway)
    else:
        until(lambda: shadows(gateway))
        assert {entry.record.outcome for entry in shadows(gateway)} == {"refused" if mode == "400" else "error"}
    assert sum(entry.record.mirrors is None for entry in gateway.requests()) == 20


def test_a_share_of_the_units_is_mirrored_whole_and_a_larger_share_keeps_them(tmp_path: Path, stack: ExitStack) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine())
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(live, shadow, share=0.4)))
    for number in range(40):
        assert gateway.post("/v1/chat/completions", chat(user=f"user-{number % 20}"))[0] == 200
        until(lambda: not gateway.gateway.state.mirrors)  # type: ignore[union-attr]
    units = {entry.record.unit for entry in gateway.requests() if not entry.record.mirrors}
    expected = sorted(unit for unit in units if position("salt", unit) < 0.4)
    assert 0 < len(expected) < 20
    assert sorted(entry.record.unit for entry in shadows(gateway)) == sorted(expected * 2)


def test_mirroring_ends_where_its_cost_does(tmp_path: Path, stack: ExitStack) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine())
    gateway = RunningGateway(tmp_path, routes(live, shadow, max_usd=0.0025))
    prices = CostConfig(
        prompt_usd_per_million=0, completion_usd_per_million=1000 / len(WORDS)
    )  # a tenth of a cent for an answer
    gateway.context = dataclasses.replace(gateway.context, cost=prices)
    stack.enter_context(gateway)
    for _ in range(10):
        assert gateway.post("/v1/chat/completions", chat())[0] == 200
        until(lambda: not gateway.gateway.state.mirrors)  # type: ignore[union-attr]
    assert len(shadows(gateway)) == 3
    metrics = gateway.get("/metrics")[2].decode()
    assert 'flyball_gateway_unmirrored_total{route="shop",release="222222222222",reason="cost",worker="0"} 7' in metrics
    assert 'flyball_gateway_mirrored_total{route="shop",release="222222222222",outcome="ok",worker="0"} 3' in metrics
    assert 'variant="shadow"' not in metrics  # no traffic of the route


def test_a_shadow_counts_against_no_limit_of_its_caller(tmp_path: Path, stack: ExitStack, ledger: Ledger) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine("hang"))
    _, secret = create_key(ledger, name="app", concurrency=1, requests_per_minute=6)
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(live, shadow), ledger=ledger))
    answers = [gateway.post("/v1/chat/completions", chat(), authorization=f"Bearer {secret}")[0] for _ in range(7)]
    assert answers == [200] * 6 + [429]
    until(lambda: shadow.most_active == 6)


def test_a_request_that_a_tester_forced_or_that_was_refused_is_not_mirrored(
    tmp_path: Path, stack: ExitStack, ledger: Ledger
) -> None:
    live, shadow = stack.enter_context(MockEngine()), stack.enter_context(MockEngine())
    _, admin = create_key(ledger, name="boss", role="admin")
    gateway = stack.enter_context(RunningGateway(tmp_path, routes(live, shadow), ledger=ledger))
    headers = {"authorization": f"Bearer {admin}"}
    assert gateway.post("/v1/chat/completions", chat(), **headers, **{"x-flyball-variant": "live"})[0] == 200
    assert gateway.post("/v1/chat/completions", chat(), **headers, **{"x-flyball-variant": "shadow"})[0] == 400
    assert gateway.post("/v1/chat/completions", b"nonsense", **headers)[0] == 400
    (record,) = [entry.record for entry in gateway.requests()]
    assert record.forced
    time.sleep(0.2)
    assert not shadow.bodies


def units(gateway: RunningGateway, *asks: tuple[dict[str, Any], dict[str, str]]) -> list[str]:
    for body, headers in asks:
        assert gateway.post("/v1/chat/completions", body, **headers)[0] == 200
    return [entry.record.unit for entry in gateway.requests()]


@pytest.mark.parametrize(
    ("unit", "same", "other"),
    [
        ("user", ({"user": "jane"}, {"x-flyball-conversation": "c2"}), ({"user": "john"}, {})),
        ("conversation", ({"user": "john"}, {"x-flyball-conversation": "c1"}), ({"user": "jane"}, {})),
        ("header:X-Shop", ({"user": "john"}, {"x-shop": "s1"}), ({"user": "jane"}, {"x-shop": "s2"})),
    ],
)
def test_what_stays_with_one_release_is_the_routes_choice(
    tmp_path: Path, stack: ExitStack, unit: str, same: tuple[Any, Any], other: tuple[Any, Any]
) -> None:
    live = stack.enter_context(MockEngine())
    (route,) = table(arm(live)).routes
    chosen = RoutingTable(version=1, project="shop", routes=(msgspec.structs.replace(route, unit=unit),))
    gateway = stack.enter_context(RunningGateway(tmp_path, chosen))
    first = ({"user": "jane"}, {"x-flyball-conversation": "c1", "x-shop": "s1"})
    one, two, three = units(gateway, *((chat(**body), headers) for body, headers in (first, same, other)))
    assert one == two != three


def test_with_keys_as_units_all_callers_of_a_key_are_one(tmp_path: Path, stack: ExitStack, ledger: Ledger) -> None:
    secrets = [create_key(ledger, name=name)[1] for name in ("app", "other")]
    live = stack.enter_context(MockEngine())
    (route,) = table(arm(live)).routes
    chosen = RoutingTable(version=1, project="shop", routes=(msgspec.structs.replace(route, unit="key"),))
    gateway = stack.enter_context(RunningGateway(tmp_path, chosen, ledger=ledger))
    asks = [(chat(user=user), {"authorization": f"Bearer {secret}"}) for secret in secrets for user in ("jane", "john")]
    one, two, three, four = units(gateway, *asks)
    assert one == two != three == four
