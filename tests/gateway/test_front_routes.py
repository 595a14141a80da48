"""A gateway without a project: which server answers which model, in which order, under which name and key."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from msgspec.structs import replace as changed

from flyball.cost.config import CostConfig
from flyball.errors import EnvironmentMissing, InputError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.routing import view_of
from flyball.security.principals import create_key
from flyball.standalone.config import StandaloneConfig, Upstream, read_config
from flyball.standalone.routes import RoutesFile, described, front_routes, given
from flyball.storage.ledger import Ledger
from flyball.storage.routing import Endpoint, RoutingTable, load
from mock_engine import MockEngine
from running_gateway import CANARY, RunningGateway, arm, chat, table

URLS = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
SECRETS = {"env:FIRST": "one", "env:KEY": "key"}


def routes(*upstreams: Upstream, models: tuple[str, ...] = ()) -> RoutingTable:
    return front_routes(StandaloneConfig(upstreams=upstreams, models=models), SECRETS.__getitem__)


def test_models_are_named_or_asked_for() -> None:
    named = routes(Upstream(url="http://127.0.0.1:1/v1/", key="env:KEY"), models=("one", "two"))
    assert [(route.name, route.default) for route in named.routes] == [("one", True), ("two", False)]
    assert named.routes[0].arms[0].endpoints[0] == Endpoint(
        id="upstream", url="http://127.0.0.1:1", slots=64, api_key="env:KEY"
    )
    with pytest.raises(InputError, match="ftp://somewhere"):
        routes(Upstream(url="ftp://somewhere"))
    with pytest.raises(EnvironmentMissing, match="does not list its models"):
        routes(Upstream(url=URLS[0]))
    with pytest.raises(InputError, match="no upstream"):
        routes(models=("one",))


def test_each_server_has_its_own_key_and_answers_after_those_before_it() -> None:
    view = view_of(routes(*given(URLS, ["env:FIRST"]), models=("one",)).routes[0], {})
    points = [one.endpoints[0] for one in view.route.arms]
    assert [(point.url, point.api_key) for point in points] == list(zip(URLS, ["env:FIRST", None, None], strict=True))
    keys = [f"{one.release}:one" for one in view.route.arms]
    assert view.assign("anybody") is view.live and view.live is not None and view.live.key == keys[0]
    following = [view.after(keys[:place]) for place in range(4)]
    assert [found and found.key for found in following] == [*keys, None]
    with pytest.raises(InputError, match="named twice"):
        routes(*given([URLS[0], f"{URLS[0]}/v1"], []), models=("one",))
    with pytest.raises(InputError, match="2 keys for 1 upstreams"):
        given(URLS[:1], ["env:A", "env:B"])


def test_each_server_answers_the_models_that_it_has_under_the_names_that_it_uses() -> None:
    found = routes(
        Upstream(url=URLS[0], models=("large", "small")),
        Upstream(url=URLS[1], models={"small": "tiny-q4", "embed": "bge"}, slots=8),
        Upstream(url=URLS[2]),
        models=("large",),
    )
    large, small, embed = found.routes
    names = {one.release: f"({one.release[:12]})" for route in found.routes for one in route.arms}
    first, tiny, bge, last = (names[one.release] for one in (*small.arms, *embed.arms, large.arms[1]))
    assert described(found) == [
        f"large → {URLS[0]} {first}, then {URLS[2]} {last}",
        f"small → {URLS[0]} {first}, then {URLS[1]} as tiny-q4 {tiny}",
        f"embed → {URLS[1]} as bge {bge}",
    ]
    assert [one.variant for one in small.arms] == ["live", "previous"] and embed.arms[0].variant == "live"
    assert small.arms[0].release == large.arms[0].release, "the same server, asked for what the client names"
    assert small.arms[1].release != embed.arms[0].release, "another model is another answerer, and records say so"
    assert small.arms[1].endpoints == embed.arms[0].endpoints, "slots are the server's, whatever it is asked for"


def test_a_model_goes_by_the_server_s_name_for_it_and_a_fallback_by_its_own(tmp_path: Path, stack: ExitStack) -> None:
    first, second = stack.enter_context(MockEngine("ok")), stack.enter_context(MockEngine("ok", model="tiny-q4"))
    found = routes(
        Upstream(url=first.url, models=("small",)),
        Upstream(url=second.url, models={"small": "tiny-q4", "embed": "bge"}),
    )
    gateway = stack.enter_context(RunningGateway(tmp_path, found))
    client = gateway.client()
    assert client.chat.completions.create(**chat(model="small")).choices
    assert list(client.chat.completions.create(**chat(model="small", stream=True)))
    assert [body["model"] for body in first.bodies] == ["small", "small"]
    client.embeddings.create(model="embed", input="a parcel", encoding_format="float")
    assert second.bodies[-1]["model"] == "bge"
    first.behaviour = "500"
    answer = client.chat.completions.create(**chat(model="small"))
    assert (answer.model, second.bodies[-1]["model"]) == ("small", "tiny-q4"), "clients see their own name for it"
    last = gateway.requests()[-1].record
    assert (last.route, last.release, last.answered_by) == ("small", *(one.release for one in found.routes[0].arms))
    with pytest.raises(openai.NotFoundError, match="known: small, embed"):
        client.chat.completions.create(**chat(model="large"))


def test_a_request_costs_what_the_server_charges_that_answered_it(
    tmp_path: Path, ledger: Ledger, stack: ExitStack
) -> None:
    dear, cheap = (stack.enter_context(MockEngine("ok")) for _ in range(2))
    found = routes(
        Upstream(url=dear.url, models=("small", "large"), usd_per_million={"small": (1.0, 2.0)}),
        Upstream(url=cheap.url, models=("small",), usd_per_million={"small": (0.0, 0.5)}),
    )
    _, secret = create_key(ledger, name="one", budget_usd=0.0004)
    gateway = stack.enter_context(RunningGateway(tmp_path, found, ledger=ledger))
    client = gateway.client(secret)
    asked = [client.chat.completions.create(**chat(model=model, max_tokens=20)) for model in ("small", "large")]
    dear.behaviour = "500"
    asked.append(client.chat.completions.create(**chat(model="small", max_tokens=20)))
    tokens = [(answer.usage.prompt_tokens, answer.usage.completion_tokens) for answer in asked]
    prices = [(1.0, 2.0), (CostConfig().prompt_usd_per_million, CostConfig().completion_usd_per_million), (0.0, 0.5)]
    costs = [(p * n + c * m) / 1e6 for (p, c), (n, m) in zip(prices, tokens, strict=True)]
    assert [entry.record.cost_usd for entry in gateway.requests()] == pytest.approx(costs) and min(costs) > 0
    with pytest.raises(openai.RateLimitError, match="budget"):  # by the dearer of the two, which might answer
        client.chat.completions.create(**chat(model="small", max_tokens=300))
    with pytest.raises(InputError, match="a price for tiny, which it does not serve"):
        routes(Upstream(url=URLS[0], models=("small",), usd_per_million={"tiny": (1.0, 1.0)}))


def test_a_budget_sets_aside_what_the_release_would_cost_that_a_canary_falls_back_on(
    tmp_path: Path, ledger: Ledger, stack: ExitStack
) -> None:
    engine = stack.enter_context(MockEngine("ok"))
    dear = changed(arm(engine, weight=0.0), usd_per_million=(0.0, 1000.0))
    cheap = changed(arm(engine, release=CANARY, variant="canary"), usd_per_million=(0.0, 1.0))
    _, secret = create_key(ledger, name="one", budget_usd=0.05)
    gateway = stack.enter_context(RunningGateway(tmp_path, table(cheap, dear), ledger=ledger))
    client = gateway.client(secret)
    assert client.chat.completions.create(**chat(max_tokens=40)).choices
    assert gateway.requests()[-1].record.release == CANARY
    with pytest.raises(openai.RateLimitError, match="budget"):  # 60 tokens of live are more than is left
        client.chat.completions.create(**chat(max_tokens=60))


def test_a_full_server_is_passed_over_while_another_has_room_and_waited_for_when_none_has(
    tmp_path: Path, stack: ExitStack
) -> None:
    near, far = (stack.enter_context(MockEngine("ok", delay_s=1.0)) for _ in range(2))
    found = routes(*(Upstream(url=engine.url, models=("small",), slots=2) for engine in (near, far)))
    gateway = stack.enter_context(RunningGateway(tmp_path, found))
    client = gateway.client()
    with ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(client.chat.completions.create, **chat(model="small")) for _ in range(6)]
        assert all(one.result().choices for one in asked)
    records = [entry.record for entry in gateway.requests()]
    first, second = (one.release for one in found.routes[0].arms)
    assert [record.outcome for record in records] == ["ok"] * 6 and not any(record.answered_by for record in records)
    counts = Counter(record.release for record in records)
    assert counts[first] >= 2 and counts[second] >= 1 and counts.keys() == {first, second}
    assert max(near.most_active, far.most_active) <= 2, "the others waited"


def test_a_server_that_is_left_alone_gets_no_blame_for_what_another_takes_over(
    tmp_path: Path, stack: ExitStack
) -> None:
    first, second = stack.enter_context(MockEngine("500")), stack.enter_context(MockEngine("ok"))
    found = routes(*(Upstream(url=engine.url, models=("small",)) for engine in (first, second)))
    gateway = stack.enter_context(RunningGateway(tmp_path, found, config=GatewayConfig(retries=0)))
    for _ in range(5):
        assert gateway.client().chat.completions.create(**chat(model="small")).choices
    outcomes = [
        (entry.record.release == found.routes[0].arms[0].release, entry.record.outcome) for entry in gateway.requests()
    ]
    assert outcomes == [(True, "error")] * 3 + [(False, "ok")] * 2
    assert len(first.bodies) == 3
    assert gateway.get("/readyz")[0] == 200, "the model is served"


def test_a_server_without_its_key_harms_no_other(
    tmp_path: Path, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    engine = stack.enter_context(MockEngine("ok"))
    found = routes(
        Upstream(url=URLS[0], key="env:KEY", models=("one",)), Upstream(url=engine.url, models=("one", "two"))
    )

    def gone(reference: str) -> str:
        raise InputError(f"{reference} is not set", cure="export it")

    gateway = RunningGateway(tmp_path, found)
    gateway.context = replace(gateway.context, secrets=gone)
    with caplog.at_level(logging.ERROR), gateway:
        for model in ("one", "two"):
            assert gateway.client().chat.completions.create(**chat(model=model)).choices
    assert f"{URLS[0]} gets no requests: env:KEY is not set" in caplog.text


def test_a_gateway_behind_a_gateway_takes_over_its_models(tmp_path: Path, stack: ExitStack) -> None:
    engine = stack.enter_context(MockEngine("ok"))
    inner = stack.enter_context(RunningGateway(tmp_path / "inner", table(arm(engine))))
    outer = stack.enter_context(
        RunningGateway(tmp_path / "outer", routes(Upstream(url=f"http://127.0.0.1:{inner.port}")))
    )
    assert [model.id for model in outer.client().models.list()] == ["shop"]
    assert outer.client().chat.completions.create(**chat()).choices


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5.0
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_the_table_follows_the_file_and_survives_a_wrong_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, published = tmp_path / "gateway.yaml", tmp_path / "routes.json"

    def write(text: str) -> None:
        new = config.with_suffix(".new")
        new.write_text(text)
        new.replace(config)

    def again() -> RoutingTable:
        return front_routes(read_config(config), SECRETS.__getitem__)

    write(f"upstreams: [{{url: '{URLS[0]}', models: [one]}}]\n")
    file = RoutesFile(published, again(), config_file=config, again=again)
    try:
        write(f"upstreams: [{{url: '{URLS[0]}', models: {{one: uno, two: due}}}}]\n")
        eventually(lambda: [route.name for route in load(published).routes] == ["one", "two"])
        assert load(published).version == 2 and load(published).routes[1].arms[0].model == "due"
        stamp = published.stat()
        write(f"upstreams: [{{url: '{URLS[0]}', modles: [one]}}]\n")
        eventually(lambda: "upstreams[0].modles" in caplog.text)
        assert "did you mean upstreams[0].models?" in caplog.text
        assert published.stat() == stamp, "the last table goes on"
    finally:
        file.stop()
