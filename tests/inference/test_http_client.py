"""Servers that are asked outside the gateway: the same paths, headers, proxies and certificates."""

from __future__ import annotations

import gzip
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from authority import Authority
from flyball import __version__
from flyball.addresses import Reach
from flyball.errors import InputError, UpstreamError
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_list import served_model
from proxies import HttpProxy
from raw_upstream import Asked, RawUpstream, answer, either, plain
from tiny_gguf import tiny_release

ASK = {"messages": [{"role": "user", "content": "hi"}]}


def said(url: str, **more: Any) -> str:
    completer = HttpCompleter(url, **more)
    try:
        return completer.complete(ASK).text
    finally:
        completer.close()


def test_a_server_is_asked_at_its_own_path_with_its_own_headers(stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    url = f"{server.url}/openai/deployments/g?api-version=1"
    way = ServerAccess(reach=Reach(headers=(("api-key", "env:KEY"),)), secrets={"env:KEY": "secret"}.__getitem__)
    assert said(url, way=way) == "on its way"
    assert server.asked[0].target == "/openai/deployments/g/chat/completions?api-version=1"
    assert server.asked[0].headers["api-key"] == "secret" and "authorization" not in server.asked[0].headers
    assert server.asked[0].headers["user-agent"] == f"flyball/{__version__}"
    assert server.asked[0].headers["accept-encoding"] == "identity"
    assert served_model(url, name=None, way=way).name == "m"
    assert server.asked[1].target == "/openai/deployments/g/models?api-version=1"


def test_a_release_says_whether_its_url_is_exact(stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    for flags, place in (
        ({"url": server.url}, "/v1"),
        ({"url": f"{server.url}/before/v1"}, "/before/v1"),
        ({"url": f"{server.url}/before"}, "/before/v1"),  # of an older release
        ({"url": f"{server.url}/api/paas/v4", "exact": True}, "/api/paas/v4"),
    ):
        assert said(str(flags["url"]), release=tiny_release(kind="openai", flags=flags)) == "on its way"
        assert server.asked[-1].target == f"{place}/chat/completions"


def test_proxies_and_certificates_hold(tmp_path: Path, stack: ExitStack) -> None:
    authority = Authority(tmp_path)
    server = stack.enter_context(RawUpstream(either, tls=authority.server("models.example", clients=True)))
    proxy = stack.enter_context(HttpProxy(server.port, authorization="Basic bWU6c2VjcmV0"))
    certificate, key = authority.pair("me")
    reach = Reach(ca_file=authority.ca_file, client_cert=certificate, client_key=key)
    url = "https://models.example/v1"
    way = ServerAccess(reach=reach, proxy_for=lambda _url: proxy.url.replace("//", "//me:secret@"))
    assert said(url, way=way) == "on its way"
    assert proxy.heads[0].startswith("CONNECT models.example:443")
    with pytest.raises(UpstreamError, match="407") as caught:
        said(url, way=ServerAccess(reach=reach, proxy_for=lambda _url: proxy.url.replace("//", "//me:hunter2@")))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError, match="no certificates"):
        said(url, way=ServerAccess(reach=Reach(ca_file=str(tmp_path / "none.pem"))))


def test_an_answer_that_is_compressed_all_the_same_is_read_within_bounds(stack: ExitStack) -> None:
    bodies = [gzip.compress(answer()), gzip.compress(b" " * 80_000_000, compresslevel=1), b"plain"]

    def script(_asked: Asked, connection: socket.socket) -> None:
        connection.sendall(plain(bodies.pop(0), "content-encoding: gzip"))

    server = stack.enter_context(RawUpstream(script))
    assert said(server.url) == "on its way"
    for problem in ("larger than 64 MiB", "not compressed as it says"):
        with pytest.raises(UpstreamError, match=problem):
            said(server.url)


def test_a_password_in_a_url_is_refused_and_a_key_in_its_query_not_shown() -> None:
    with pytest.raises(InputError) as refused:
        said("http://me:hunter2@127.0.0.1:1")
    with pytest.raises(UpstreamError) as failed:
        said("http://127.0.0.1:1/v1?key=hunter2")
    assert "hunter2" not in str(refused.value) + str(failed.value)
