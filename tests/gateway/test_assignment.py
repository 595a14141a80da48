"""Units stick to their arm, a growing canary only takes from live, and testers may choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.routing import RouteView, position, view_of
from flyball.security.principals import create_key
from flyball.storage.ledger import Ledger
from flyball.storage.routing import Arm, Route
from mock_engine import MockEngine
from running_gateway import CANARY, LIVE, RunningGateway, arm, chat, release, table

shares = st.floats(0.0, 1.0)
units = st.text(min_size=1, max_size=20)


def route_with(*weights: tuple[str, float], salt: str = "salt") -> RouteView:
    arms = tuple(Arm(release=name * 8, variant=name, weight=weight, endpoints=()) for name, weight in weights)
    return view_of(Route(name="shop", arms=arms, salt=salt), {})


def variant_of(view: RouteView, unit: str) -> str:
    found = view.assign(unit)
    assert found is not None
    return found.arm.variant


@given(units, shares, shares)
def test_nobody_goes_back_to_live_while_a_canary_grows(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    before = variant_of(route_with(("live", 1 - small), ("canary", small)), unit)
    after = variant_of(route_with(("live", 1 - large), ("canary", large)), unit)
    assert not (before == "canary" and after == "live")


@given(units, shares)
def test_the_order_of_arms_in_the_table_moves_nobody(unit: str, share: float) -> None:
    one = route_with(("live", 1 - share), ("canary", share))
    other = route_with(("canary", share), ("live", 1 - share))
    assert variant_of(one, unit) == variant_of(other, unit)


@given(units)
def test_a_canary_of_nothing_gets_nobody_and_of_everything_everybody(unit: str) -> None:
    assert variant_of(route_with(("live", 1.0), ("canary", 0.0)), unit) == "live"
    assert variant_of(route_with(("live", 0.0), ("canary", 1.0)), unit) == "canary"


@given(units, shares)
def test_a_shadow_never_answers(unit: str, share: float) -> None:
    assert variant_of(route_with(("live", 1 - share), ("shadow", share)), unit) == "live"


def test_shares_are_met_and_salts_are_independent() -> None:
    names = [f"user-{number}" for number in range(20_000)]
    counts = Counter(variant_of(route_with(("live", 0.7), ("canary", 0.3)), name) for name in names)
    assert abs(counts["canary"] / 20_000 - 0.3) < 0.015
    both = sum(position("one", name) < 0.3 and position("two", name) < 0.3 for name in names)
    assert abs(both / 20_000 - 0.09) < 0.01


def test_an_a_b_test_has_two_arms_and_the_rest_is_live() -> None:
    view = route_with(("live", 0.5), ("a", 0.25), ("b", 0.25))
    counts = Counter(variant_of(view, f"user-{number}") for number in range(8000))
    assert abs(counts["a"] - 2000) < 250 and abs(counts["b"] - 2000) < 250


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[MockEngine, MockEngine]]:
    with MockEngine() as one, MockEngine() as two:
        yield one, two


def test_a_user_stays_with_one_arm_over_conversations_and_clients(
    engines: tuple[MockEngine, MockEngine], tmp_path: Path
) -> None:
    arms = (arm(engines[0], weight=0.5), arm(engines[1], release=CANARY, variant="canary", weight=0.5))
    with RunningGateway(tmp_path, table(*arms)) as gateway:
        seen: dict[str, set[str]] = {}
        for number in range(60):
            user = f"user-{number % 12}"
            headers = {"x-flyball-conversation": f"c{number}", "x-flyball-client-id": f"i{number}"}
            _, answered, _ = gateway.post("/v1/chat/completions", chat(user=user), **headers)
            seen.setdefault(user, set()).add(answered["x-flyball-variant"])
        assert all(len(variants) == 1 for variants in seen.values())
        assert {variant for variants in seen.values() for variant in variants} == {"live", "canary"}
        records = [entry.record for entry in gateway.requests()]
        assert all(record.unit == record.subject for record in records)
        assert all(record.release == (LIVE if record.variant == "live" else CANARY) for record in records)


def test_without_a_user_the_conversation_sticks(engines: tuple[MockEngine, MockEngine], tmp_path: Path) -> None:
    arms = (arm(engines[0], weight=0.5), arm(engines[1], release=CANARY, variant="canary", weight=0.5))
    with RunningGateway(tmp_path, table(*arms)) as gateway:
        for name in ("one", "two", "three"):
            variants = {
                gateway.post("/v1/chat/completions", chat(), **{"x-flyball-conversation": name})[1]["x-flyball-variant"]
                for _ in range(5)
            }
            assert len(variants) == 1
        assert len({entry.record.conversation for entry in gateway.requests()}) == 3


def test_only_admins_may_choose_a_variant(
    engines: tuple[MockEngine, MockEngine], tmp_path: Path, ledger: Ledger
) -> None:
    arms = (arm(engines[0], weight=1.0), arm(engines[1], release=CANARY, variant="canary", weight=0.0))
    _, client = create_key(ledger, name="app")
    _, admin = create_key(ledger, name="boss", role="admin")
    with RunningGateway(tmp_path, table(*arms), ledger=ledger) as gateway:

        def ask(secret: str, variant: str) -> tuple[int, dict[str, str]]:
            headers = {"authorization": f"Bearer {secret}", "x-flyball-variant": variant}
            return gateway.post("/v1/chat/completions", chat(), **headers)[:2]

        assert ask(admin, "canary")[1]["x-flyball-variant"] == "canary"
        assert ask(client, "canary")[0] == 403
        assert ask(admin, "nobody")[0] == 400


def test_a_release_is_asked_through_its_prompt_path(engines: tuple[MockEngine, MockEngine], tmp_path: Path) -> None:
    import msgspec

    pathed = msgspec.structs.replace(arm(engines[0]), prompt_path=release(input_redaction="default"))
    with RunningGateway(tmp_path, table(pathed)) as gateway:
        ask = chat("write to jane@example.com", user="jane", max_tokens=900)
        assert gateway.post("/v1/chat/completions", ask)[0] == 200
        sent = engines[0].bodies[-1]
        assert "grammar" in sent and "jane@example.com" not in str(sent) and "user" not in sent
        assert gateway.post("/v1/chat/completions", {"model": "shop", "messages": "nonsense"})[0] == 400
        assert gateway.requests()[-1].record.outcome == "refused"
        assert gateway.post("/v1/completions", {"model": "shop", "prompt": "x"})[0] == 400
