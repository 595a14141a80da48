"""Servers that list their models: what appears later is served, what is down comes in."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from flyball.errors import EnvironmentMissing, InputError
from flyball.standalone import models
from flyball.standalone.config import StandaloneConfig, Upstream
from flyball.standalone.models import ModelListings
from flyball.standalone.routes import RoutesFile, front_routes
from flyball.storage.routing import RoutingTable
from raw_upstream import Asked, RawUpstream, either, plain
from running_gateway import QUICK, RunningGateway, chat

NONE: dict[str, str] = {}


def serving(*names: str) -> tuple[list[str], RawUpstream]:
    """A server and the names that it lists, which a test may change."""
    listed = list(names)

    def script(asked: Asked, connection: socket.socket) -> None:
        if asked.method == "GET":
            connection.sendall(plain(json.dumps({"data": [{"id": name} for name in listed]}).encode()))
        else:
            either(asked, connection)

    return listed, RawUpstream(script)


def names_of(table: RoutingTable) -> dict[str, list[str]]:
    return {route.name: [arm.endpoints[0].id for arm in route.arms] for route in table.routes}


def table_of(*urls: str, listings: ModelListings | None = None, models: tuple[str, ...] = ()) -> RoutingTable:
    config = StandaloneConfig(upstreams=tuple(Upstream(url=url) for url in urls), models=models)
    return front_routes(config, NONE.__getitem__, listings=listings)


def test_each_server_has_the_models_that_it_lists(stack: ExitStack) -> None:
    servers = [stack.enter_context(serving(*names)[1]) for names in (("large", "small"), ("small", "tiny"))]
    found = table_of(*(server.url for server in servers))
    assert names_of(found) == {"large": ["upstream"], "small": ["upstream", "upstream-2"], "tiny": ["upstream-2"]}
    assert found.listed and not table_of(servers[0].url, models=("one",)).listed


@pytest.mark.parametrize(
    "body", [b'[{"id": "a"}, {"id": "b"}]', b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "a"}, 3]}']
)
def test_lists_come_with_an_envelope_or_without(stack: ExitStack, body: bytes) -> None:
    server = stack.enter_context(RawUpstream(lambda _asked, connection: connection.sendall(plain(body))))
    assert list(names_of(table_of(server.url))) == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (plain(b"{}", status="401 Unauthorized"), "answered 401"),
        (plain(b"<html>"), "does not list"),
        (plain(b'{"data": []}'), "serves no model"),
        (plain(b"{}", status="503 Loading"), "answered 503"),
        (b"nonsense\r\n\r\n", "does not list"),
    ],
)
def test_one_server_alone_that_lists_nothing_is_named_at_the_start(
    stack: ExitStack, answer: bytes, problem: str
) -> None:
    server = stack.enter_context(RawUpstream(lambda _asked, connection: bool(connection.sendall(answer))))
    with pytest.raises(EnvironmentMissing, match=problem):
        table_of(server.url)


def test_one_that_is_down_stops_nobody_and_one_without_a_list_has_what_others_list(stack: ExitStack) -> None:
    up = stack.enter_context(serving("small")[1])
    mute = stack.enter_context(
        RawUpstream(lambda _asked, connection: connection.sendall(plain(b"{}", status="404 No")))
    )
    with socket.create_server(("127.0.0.1", 0)) as gone:
        down = f"http://127.0.0.1:{gone.getsockname()[1]}"
    assert names_of(table_of(down, up.url, mute.url)) == {"small": ["upstream-2", "upstream-3"]}
    named = StandaloneConfig(upstreams=(Upstream(url=down), Upstream(url=up.url, models=("one",))))
    assert names_of(front_routes(named, NONE.__getitem__)) == {"one": ["upstream-2"]}
    with pytest.raises(EnvironmentMissing, match="refused"):
        table_of(down)


def test_a_wrong_configuration_is_said_whatever_servers_list() -> None:
    with pytest.raises(InputError, match="named twice"):
        table_of("http://127.0.0.1:1/v1", "http://127.0.0.1:1")


def eventually(true: Callable[[], bool], within_s: float = 6.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_models_that_appear_are_served_at_once_when_a_client_names_them(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MISSING_S", 0.3)
    listed, server = serving("small")
    stack.enter_context(server)
    with socket.create_server(("127.0.0.1", 0)) as later:
        port = later.getsockname()[1]
    urls = (server.url, f"http://127.0.0.1:{port}")
    listings = ModelListings(NONE.__getitem__)
    gateway = RunningGateway(tmp_path, table_of(*urls, listings=listings), config=QUICK)
    file = RoutesFile(
        gateway.routes_path,
        table_of(*urls, listings=listings),
        config_file=None,
        again=lambda: table_of(*urls, listings=listings),
        due=listings.due,
        wished=listings.forget,
    )
    stack.callback(file.stop)
    stack.enter_context(gateway)
    client = gateway.client()
    listed.append("large")
    began = time.monotonic()
    assert client.chat.completions.create(**chat(model="large")).choices, "the first request already"
    assert time.monotonic() - began < 2.0
    asked = len(server.asked)
    for _ in range(3):
        with pytest.raises(openai.NotFoundError, match="known: small, large"):
            client.chat.completions.create(**chat(model="none"))
    assert len(server.asked) - asked <= 1, "whatever clients ask for"
    came = RawUpstream(either, port=port)  # it lists m
    stack.enter_context(came)
    eventually(lambda: "m" in {model.id for model in client.models.list()})
    assert client.chat.completions.create(**chat(model="m")).choices


def test_a_server_that_goes_down_later_keeps_its_models_and_says_so_once(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    _, server = serving("small")
    listings = ModelListings(NONE.__getitem__, ask_s=1.0)
    with server:
        found = table_of(server.url, listings=listings)
    listings.forget()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            listings.forget()
            assert table_of(server.url, listings=listings) == found
    assert caplog.text.count("does not list its models") == 1
