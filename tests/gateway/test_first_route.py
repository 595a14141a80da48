"""What is said to be live answers: requests that come before the gateway has seen its route."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from msgspec.structs import replace

from flyball.gateway.config import GatewayConfig
from flyball.storage.routing import RoutingTable, publish
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, table

NOTHING = RoutingTable(version=1, project="shop", routes=())


def test_a_request_waits_for_the_first_release(tmp_path: Path) -> None:
    with (
        MockEngine() as engine,
        RunningGateway(tmp_path, NOTHING) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor(8) as callers,
    ):
        answers = [callers.submit(client.chat.completions.create, **chat()) for _ in range(8)]
        while not (gateway.gateway and gateway.gateway.state.busy == 8):
            time.sleep(0.001)
        assert not any(answer.done() for answer in answers)
        publish(gateway.routes_path, table(arm(engine), version=2))
        assert all(answer.result(10) for answer in answers)


def test_where_nothing_is_served_a_request_is_refused_after_a_moment(tmp_path: Path) -> None:
    with RunningGateway(tmp_path, NOTHING) as gateway, gateway.client() as client:
        began = time.monotonic()
        with pytest.raises(openai.InternalServerError, match="no route is served yet") as refused:
            client.chat.completions.create(**chat())
        assert refused.value.code == "not_ready" and refused.value.response.headers["retry-after"] == "1"
        assert 0.9 < time.monotonic() - began < 3.0


def test_whoever_does_not_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunningGateway(tmp_path, NOTHING) as gateway, gateway.client(timeout=0.2) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**chat())
        assert gateway.gateway is not None
        end = time.monotonic() + 0.7  # before it would have been refused
        while gateway.gateway.state.busy:
            assert time.monotonic() < end
            time.sleep(0.001)


def test_a_new_route_answers_the_moment_it_is_published(tmp_path: Path) -> None:
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway, gateway.client() as client:
        assert client.chat.completions.create(**chat())
        for number in range(20):  # the clock alone would take up to a tenth of a second for each
            name = f"other-{number}"
            both = (*table(arm(engine)).routes, replace(table(arm(engine), name=name).routes[0], default=False))
            publish(gateway.routes_path, RoutingTable(version=number + 2, project="shop", routes=both))
            assert client.chat.completions.create(**chat(model=name))
        with pytest.raises(openai.NotFoundError, match="'unknown' does not exist; known: shop, other-19"):
            client.chat.completions.create(**chat(model="unknown"))


def test_a_refusal_says_what_is_missing_as_control_does(tmp_path: Path) -> None:
    nothing = replace(NOTHING, missing="release abc passed the gate but is not deployed: `flyball deploy abc`")
    with RunningGateway(tmp_path, nothing) as gateway:
        for status, _, body in (
            gateway.post("/v1/chat/completions", chat()),
            gateway.get("/v1/models/shop"),
            gateway.get("/readyz"),
        ):
            assert status == 503 and "`flyball deploy abc`" in body["error"]["message"]


def test_a_route_whose_engines_are_away_says_why(tmp_path: Path) -> None:
    why = "no engine of release abc answers now; it is being started"
    routes = table(arm())
    routes = replace(routes, routes=(replace(routes.routes[0], missing=why),))
    config = GatewayConfig(queue_timeout_s=0.2)
    with RunningGateway(tmp_path, routes, config=config) as gateway:
        status, _, body = gateway.post("/v1/chat/completions", chat())
        assert status == 503 and why in body["error"]["message"]
        assert why in gateway.get("/readyz")[2]["error"]["message"]
        assert gateway.requests()[-1].record.cause == why
