"""The way to a server: certificates, proxies, the addresses of its name."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from authority import Authority
from flyball.addresses import environment_proxy, target_of
from flyball.errors import InputError
from flyball.gateway.upstream.connector import Connector, first_of, in_turn, resolve
from flyball.settings import secret
from flyball.standalone.config import StandaloneConfig, Upstream
from flyball.standalone.models import ModelListings
from flyball.standalone.routes import front_routes
from proxies import HttpProxy
from raw_upstream import RawUpstream, either
from running_gateway import QUICK, RunningGateway, chat


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "another authority")


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[RawUpstream]:
    tls = authority.server("localhost", "127.0.0.1", "models.example")
    with RawUpstream(either, tls=tls) as running:
        yield running


def asked(tmp_path: Path, upstream: Upstream, *, models: tuple[str, ...] = ("shop",), **environment: str) -> Any:
    """What a client gets through a gateway in front of this upstream, in this environment."""

    def secrets(reference: str) -> str:
        return secret(reference, tmp_path, environment)

    def proxy_for(url: str) -> str | None:
        return environment_proxy(url, environment)

    found = front_routes(StandaloneConfig(upstreams=(upstream,), models=models), secrets, proxy_for=proxy_for)
    gateway = RunningGateway(tmp_path, found, config=QUICK)
    gateway.context = replace(gateway.context, secrets=secrets, proxy_for=proxy_for)
    with gateway:
        client = gateway.client()
        model = found.routes[0].name
        whole = client.chat.completions.create(**chat(model=model)).choices[0].message.content
        parts = client.chat.completions.create(**chat(model=model, stream=True))
        return whole, "".join(part.choices[0].delta.content or "" for part in parts)


BOTH = ("on its way", "on its way")


def test_an_own_authority_is_trusted_beside_those_of_the_system(
    tmp_path: Path, authority: Authority, secure: RawUpstream
) -> None:
    assert asked(tmp_path, Upstream(url=secure.url, ca_file=authority.ca_file), models=()) == BOTH


def test_a_certificate_that_nobody_vouches_for_is_refused_and_named(tmp_path: Path, secure: RawUpstream) -> None:
    with pytest.raises(openai.APIStatusError, match="certificate"):
        asked(tmp_path, Upstream(url=secure.url))


def test_mutual_tls_shows_the_client_s_certificate(
    tmp_path: Path, stack: ExitStack, authority: Authority, stranger: Authority
) -> None:
    server = stack.enter_context(RawUpstream(either, tls=authority.server(clients=True)))
    certificate, key = authority.pair("gateway")
    mine = Upstream(url=server.url, ca_file=authority.ca_file, client_cert=certificate, client_key=key)
    assert asked(tmp_path / "mine", mine, models=()) == BOTH
    certificate, key = stranger.pair("intruder")
    theirs = Upstream(url=server.url, ca_file=authority.ca_file, client_cert=certificate, client_key=key)
    with pytest.raises(openai.APIStatusError):
        asked(tmp_path / "theirs", theirs)


def test_rotated_certificates_take_effect_without_a_restart(
    tmp_path: Path, stack: ExitStack, authority: Authority, stranger: Authority
) -> None:
    server = stack.enter_context(RawUpstream(either, tls=authority.server(clients=True)))
    files = [tmp_path / "me.pem", tmp_path / "me.key"]

    def write(pair: tuple[str, str]) -> None:
        for file, made in zip(files, pair, strict=True):
            file.write_bytes(Path(made).read_bytes())

    write(stranger.pair("old"))
    upstream = Upstream(url=server.url, ca_file=authority.ca_file, client_cert=str(files[0]), client_key=str(files[1]))
    found = front_routes(StandaloneConfig(upstreams=(upstream,), models=("shop",)), {}.__getitem__)
    gateway = stack.enter_context(RunningGateway(tmp_path, found, config=QUICK))
    with pytest.raises(openai.APIStatusError):
        gateway.client().chat.completions.create(**chat())
    files[0].write_text("half of it")
    with pytest.raises(openai.APIStatusError):
        gateway.client().chat.completions.create(**chat())
    write(authority.pair("new"))
    assert gateway.client().chat.completions.create(**chat()).choices


def test_certificates_that_cannot_be_read_are_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pem: no certificates"):
        asked(tmp_path, Upstream(url="https://host", ca_file="nowhere.pem"))


def test_https_goes_through_the_environment_s_proxy_and_http_too(
    tmp_path: Path, stack: ExitStack, authority: Authority, secure: RawUpstream
) -> None:
    plain = stack.enter_context(RawUpstream(either))
    to_secure, to_plain = (stack.enter_context(HttpProxy(one.port)) for one in (secure, plain))
    said = {"https_proxy": to_secure.url, "http_proxy": to_plain.url, "no_proxy": "other.example"}
    upstream = Upstream(url="https://models.example/v1", ca_file=authority.ca_file)
    assert asked(tmp_path / "secure", upstream, models=(), **said) == BOTH
    assert {head.rsplit(" HTTP", 1)[0] for head in (one.split("\r\n")[0] for one in to_secure.heads)} == {
        "CONNECT models.example:443"
    }
    assert asked(tmp_path / "plain", Upstream(url="http://models.example:8000/api"), models=(), **said) == BOTH
    targets = {head.split(" ")[1] for head in to_plain.heads}
    assert targets == {f"http://models.example:8000/api/{name}" for name in ("models", "chat/completions")}
    assert plain.asked[-1].headers["host"] == "models.example:8000"


def test_this_machine_is_not_proxied_unless_asked_for(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    proxy = stack.enter_context(HttpProxy(server.port))
    assert asked(tmp_path / "by environment", Upstream(url=server.url), all_proxy=proxy.url) == BOTH
    assert not proxy.heads
    assert asked(tmp_path / "by setting", Upstream(url=server.url, proxy=proxy.url)) == BOTH
    assert len(proxy.heads) >= 1
    before = len(proxy.heads)
    upstream = Upstream(url=server.url.replace("127.0.0.1", "localhost"), proxy="none")
    assert asked(tmp_path / "none", upstream, all_proxy=proxy.url) == BOTH and len(proxy.heads) == before


def test_a_proxy_gets_its_password_and_one_that_refuses_is_named_without(
    tmp_path: Path, stack: ExitStack, authority: Authority, secure: RawUpstream
) -> None:
    proxy = stack.enter_context(HttpProxy(secure.port, authorization="Basic bWU6c2VjcmV0"))
    upstream = Upstream(url="https://models.example", ca_file=authority.ca_file, proxy="env:PROXY")
    right = proxy.url.replace("//", "//me:secret@")
    assert asked(tmp_path / "right", upstream, models=(), PROXY=right) == BOTH
    wrong = proxy.url.replace("//", "//me:hunter2@")
    with pytest.raises(openai.APIStatusError, match="407") as caught:
        asked(tmp_path / "wrong", upstream, PROXY=wrong)
    assert "hunter2" not in str(caught.value)


def test_the_next_address_is_tried_at_once_when_one_refuses_and_soon_when_one_is_silent(stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    good = (socket.AF_INET, ("127.0.0.1", server.port))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        refusing = (socket.AF_INET, gone.getsockname())
    silent = (socket.AF_INET, ("192.0.2.1", 9))

    async def seconds(*addresses: Any) -> float:
        began = time.monotonic()
        made = await first_of(addresses, next_s=0.1)
        assert made.getpeername()[1] == server.port
        made.close()
        return time.monotonic() - began

    assert asyncio.run(seconds(refusing, refusing, good)) < 0.09
    assert asyncio.run(seconds(silent, good)) < 1.0
    with pytest.raises(OSError):
        asyncio.run(seconds(refusing))
    with pytest.raises(OSError):
        asyncio.run(seconds())


def test_families_take_turns_and_the_address_that_answered_last_is_first() -> None:
    six = [(socket.AF_INET6, (f"::{n}", 1)) for n in (1, 2, 3)]
    four = [(socket.AF_INET, (f"10.0.0.{n}", 1)) for n in (1, 2)]
    assert in_turn([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert in_turn([*six, *four], last=four[1][1])[0] == four[1]
    assert in_turn([]) == []


def test_a_name_is_looked_up_for_each_connection(stack: ExitStack) -> None:
    old, new = (stack.enter_context(RawUpstream(either)) for _ in range(2))
    asked_for: list[str] = []
    now = old

    async def lookup(host: str, _port: int) -> list[Any]:
        asked_for.append(host)
        return [(socket.AF_INET, ("127.0.0.1", now.port))]

    async def connect() -> None:
        nonlocal now
        connector = Connector(target_of("http://models.example", exact=False), lookup=lookup)
        for wanted in (old, new):
            now = wanted
            protocol: Any = await connector.connect(_Kept, None)
            assert protocol.transport.get_extra_info("peername")[1] == wanted.port
            protocol.transport.close()

    asyncio.run(connect())
    assert asked_for == ["models.example"] * 2


class _Kept(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport


def test_localhost_is_reached_whichever_family_listens(tmp_path: Path, stack: ExitStack) -> None:
    four = stack.enter_context(RawUpstream(either))
    assert asked(tmp_path / "four", Upstream(url=four.url.replace("127.0.0.1", "localhost"))) == BOTH
    try:
        six = stack.enter_context(RawUpstream(either, host="::1"))
    except OSError:
        pytest.skip("no IPv6 here")
    assert asked(tmp_path / "six", Upstream(url=f"http://[::1]:{six.port}")) == BOTH
    if any(family == socket.AF_INET6 for family, _ in asyncio.run(resolve("localhost", six.port))):
        assert asked(tmp_path / "both", Upstream(url=f"http://localhost:{six.port}")) == BOTH


def test_a_list_of_models_is_asked_for_the_same_way(tmp_path: Path, authority: Authority, secure: RawUpstream) -> None:
    point = (
        front_routes(
            StandaloneConfig(
                upstreams=(Upstream(url=secure.url, ca_file=authority.ca_file, headers={"api-key": "env:K"}),)
            ),
            {"env:K": "k"}.__getitem__,
        )
        .routes[0]
        .arms[0]
        .endpoints[0]
    )
    assert ModelListings({"env:K": "k"}.__getitem__).models([point]) == {point: ["m"]}
    assert secure.asked[-1].headers["api-key"] == "k" and secure.asked[-1].target == "/v1/models"
