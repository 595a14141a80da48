"""What needs no engine: models by any name, health under the names that others ask, numbers for those who may see."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec
import openai
import pytest

from flyball.gateway.authentication import names_this_machine
from flyball.gateway.config import GatewayConfig
from flyball.security.principals import create_key
from flyball.storage.ledger import Ledger, open_ledger
from flyball.storage.routing import RoutingTable, publish
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, split, table

NAMES = ("shop", "org/name", "org/name/deep", "llama3:8b", "a%2Fb", "größe", "with space", "../up", "q?x=1")
NOTHING = RoutingTable(version=1, project="shop", routes=())


def routes_of(engine: MockEngine, *names: str) -> RoutingTable:
    routes = [
        msgspec.structs.replace(table(arm(engine), name=name).routes[0], default=name == "shop") for name in names
    ]
    return RoutingTable(version=1, project="shop", routes=tuple(routes))


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("gateway"), routes_of(engine, *NAMES)) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_found_by_its_name_percent_encoded(gateway: RunningGateway, name: str) -> None:
    assert gateway.client().models.retrieve(name).id == name  # openai-python sends a slash as %2F
    status, _, found = gateway.get(f"/v1/models/{quote(name, safe='')}")
    assert (status, found["id"]) == (200, name)
    assert gateway.client().chat.completions.create(**chat(model=name)).model == name


@pytest.mark.parametrize(
    "path", ["org/name", "org/name/deep", "llama3:8b", "a%252Fb", "org%2fname", "org/name?limit=2"]
)
def test_a_model_is_found_by_its_name_as_it_is(gateway: RunningGateway, path: str) -> None:
    assert gateway.get(f"/v1/models/{path}")[0] == 200


@pytest.mark.parametrize("path", ["org%2", "%", "%ff%fe", "nobody%2Fnothing", "org", "name", "..%2F..%2Fetc"])
def test_what_names_no_model_is_a_404(gateway: RunningGateway, path: str) -> None:
    status, _, body = gateway.get(f"/v1/models/{path}")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/healthz", "/health", "/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_answered_under_the_names_that_others_ask(gateway: RunningGateway, path: str, method: str) -> None:
    status, _, _ = split(
        gateway.raw(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    )
    assert status == 200


def test_the_first_page_says_where_the_api_is(gateway: RunningGateway) -> None:
    assert "/v1/chat/completions" in gateway.get("/")[2]["api"]
    assert gateway.post("/", {})[0] == 405


@pytest.mark.parametrize("name", [None, "shop"])
def test_models_wait_for_the_first_route_as_completions_do(
    engine: MockEngine, tmp_path: Path, name: str | None
) -> None:
    with RunningGateway(tmp_path, NOTHING) as empty, empty.client() as client:
        later = threading.Timer(0.2, publish, (empty.routes_path, routes_of(engine, "shop")))
        later.start()
        found = [client.models.retrieve(name).id] if name else [model.id for model in client.models.list()]
        later.join()
        assert found == ["shop"]


def test_where_nothing_is_served_models_are_none_after_a_moment(tmp_path: Path) -> None:
    with RunningGateway(tmp_path, NOTHING) as empty, empty.client() as client:
        began = time.monotonic()
        assert list(client.models.list()) == []
        assert 0.9 < time.monotonic() - began < 3.0


def test_a_key_that_is_limited_to_a_route_sees_no_other(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> None:
    _, limited = create_key(ledger, name="app", routes=("org/name",))
    _, whole = create_key(ledger, name="all")
    with RunningGateway(
        tmp_path / "gateway", routes_of(engine, "shop", "org/name", "secret"), ledger=ledger
    ) as running:
        bearer = f"Bearer {limited}"
        client = running.client(limited)
        assert [model.id for model in client.models.list()] == ["org/name"]
        assert client.chat.completions.create(**chat(model="org/name")).model == "org/name"
        nameless = chat()
        del nameless["model"]
        assert running.post("/v1/chat/completions", nameless, authorization=bearer)[2]["model"] == "org/name"
        for ask in (
            lambda name: running.get(f"/v1/models/{name}", authorization=bearer),
            lambda name: running.post("/v1/chat/completions", chat(model=name), authorization=bearer),
            lambda name: running.post("/v1/embeddings", {"model": name, "input": "x"}, authorization=bearer),
        ):
            hidden, unknown = ask("secret"), ask("missing")
            assert hidden[0] == unknown[0] == 404
            assert json.dumps(hidden[2]).replace("secret", "missing") == json.dumps(unknown[2])
            assert "shop" not in json.dumps(hidden[2])
        assert running.get("/metrics", authorization=bearer, host="gateway.example")[0] == 403
        assert running.get("/metrics", authorization=f"Bearer {whole}", host="gateway.example")[0] == 200


def test_readiness_names_routes_only_to_who_may_know_them(tmp_path: Path, ledger: Ledger) -> None:
    _, limited = create_key(ledger, name="app", routes=("other",))
    with ExitStack() as stack:
        gone = stack.enter_context(MockEngine())
        empty = routes_of(gone, "shop", "other")
        empty = msgspec.structs.replace(
            empty, routes=tuple(msgspec.structs.replace(one, arms=()) for one in empty.routes)
        )
        running = stack.enter_context(RunningGateway(tmp_path / "gateway", empty, ledger=ledger))
        assert "shop" not in json.dumps(running.get("/readyz")[2])
        mine = json.dumps(running.get("/readyz", authorization=f"Bearer {limited}")[2])
        assert "other" in mine and "shop" not in mine


class TestOnAnOpenAddress:
    """The gateway listens on every address of the machine."""

    @pytest.fixture(scope="class")
    def opened(
        self, engine: MockEngine, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[RunningGateway, str, str]]:
        folder = tmp_path_factory.mktemp("open")
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db", project="shop")
        _, whole = create_key(ledger, name="prometheus")
        _, limited = create_key(ledger, name="app", routes=("shop",))
        config = GatewayConfig(host="0.0.0.0")
        with RunningGateway(folder / "gateway", routes_of(engine, "shop"), ledger=ledger, config=config) as running:
            yield running, whole, limited
        ledger.close()

    def test_the_numbers_need_a_key_that_no_route_limits(self, opened: tuple[RunningGateway, str, str]) -> None:
        running, whole, limited = opened
        assert running.get("/metrics")[0] == 401
        assert running.get("/metrics", authorization="Bearer fb-wrong")[0] == 401
        assert running.get("/metrics", authorization=f"Bearer {limited}")[0] == 403
        assert running.get("/metrics", authorization=f"Bearer {whole}")[0] == 200

    def test_probes_need_none(self, opened: tuple[RunningGateway, str, str]) -> None:
        running, _, _ = opened
        assert [running.get(path)[0] for path in ("/healthz", "/health", "/readyz")] == [200, 200, 200]
        assert running.get("/v1/models")[0] == 401

    def test_any_host_is_answered_for_the_key_decides(self, opened: tuple[RunningGateway, str, str]) -> None:
        running, whole, _ = opened
        assert running.get("/v1/models", host="gateway.example", authorization=f"Bearer {whole}")[0] == 200


FOREIGN = (
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "10.0.0.7",
    "localhost.evil.example",
    "[::2]:80",
    "[::ffff:10.0.0.7]:80",
    ":8080",
)
OURS = (
    "localhost",
    "LOCALHOST:1",
    "127.0.0.1",
    "127.1.2.3:9",
    "[::1]",
    "[::1]:8080",
    "app.localhost:3000",
    "localhost.",
    "[::ffff:127.0.0.1]:80",
)


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/shop"])
def test_without_a_key_a_foreign_name_reads_nothing(gateway: RunningGateway, host: str, path: str) -> None:
    """DNS rebinding: a page of evil.example, whose name now leads to 127.0.0.1, is of the same origin as this."""
    status, _, body = split(gateway.raw(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()))
    assert (status, body["error"]["code"]) == (421, "foreign_host")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/metrics", "/v1/chat/completions", "/v1/feedback"])
def test_by_no_method_and_on_no_path(gateway: RunningGateway, method: str, path: str) -> None:
    body = json.dumps(chat()) if method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    assert split(gateway.raw((head + body).encode()))[0] in (421, 405)


@pytest.mark.parametrize("host", OURS)
def test_this_machine_is_answered_under_each_of_its_names(gateway: RunningGateway, host: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    assert split(gateway.raw(head.encode()))[0] == 200


def test_names_of_this_machine_are_told_from_those_that_look_like_them() -> None:
    assert all(names_this_machine(host.encode()) for host in OURS)
    assert not any(names_this_machine(host.encode()) for host in (*FOREIGN, "localhost@evil.example", "0x7f.1"))


def test_guidellm_finds_the_gateway_healthy(gateway: RunningGateway) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}") as client:
        assert client.get("/health").raise_for_status().json() == {"status": "ok"}


def test_an_unknown_model_is_said_in_openais_words(gateway: RunningGateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        gateway.client().models.retrieve("org/other")
    assert caught.value.code == "model_not_found" and "org/name" in str(caught.value)
