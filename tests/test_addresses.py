"""Where servers are: base paths, queries, proxies, and what is never shown."""

from __future__ import annotations

import pytest

from flyball.addresses import Reach, ReachConfig, environment_proxy, normal, proxy_of, reach_of, shown, target_of
from flyball.errors import InputError


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:8000", "/v1/chat/completions"),
        ("http://127.0.0.1:8000/", "/v1/chat/completions"),
        ("http://127.0.0.1:8000/v1", "/v1/chat/completions"),
        ("http://127.0.0.1:8000/v1/", "/v1/chat/completions"),
        (" https://api.openai.com/v1 ", "/v1/chat/completions"),
        ("https://api.openai.com/v1/chat/completions", "/v1/chat/completions"),
        ("https://host/v1/embeddings/", "/v1/chat/completions"),
        ("https://open.bigmodel.cn/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("https://open.bigmodel.cn/api/paas/v4/chat/completions", "/api/paas/v4/chat/completions"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "/v1beta/openai/chat/completions"),
        ("https://openrouter.ai/api/v1", "/api/v1/chat/completions"),
        ("https://host/openai/v1?api-version=preview", "/openai/v1/chat/completions?api-version=preview"),
        (
            "https://NAME.openai.azure.com/openai/deployments/gpt-4o?api-version=2024-10-21",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
        ("https://host?tenant=a%20b", "/v1/chat/completions?tenant=a%20b"),
        ("https://host/v1#there", "/v1/chat/completions"),
        ("https://host/a b/v1".replace(" ", "%20"), "/a%20b/v1/chat/completions"),
        ("http://[::1]:8000", "/v1/chat/completions"),
    ],
)
def test_the_path_of_a_url_is_the_base_and_none_means_v1(url: str, place: str) -> None:
    address, exact = normal(url)
    assert target_of(address, exact=exact).place("/chat/completions") == place
    assert normal(address)[0] == address or not exact


def test_tables_and_releases_of_before_keep_their_v1() -> None:
    for url in ("http://host:1", "http://host:1/v1", "http://host:1/v1/"):
        assert target_of(url, exact=False).place("/models") == "/v1/models"
    assert target_of("http://host:1/prefix", exact=False).place("/models") == "/prefix/v1/models"
    assert normal("http://host:1/prefix/v1/") == ("http://host:1/prefix", False)


def test_a_default_port_stays_out_of_the_host_header() -> None:
    hosts = {"https://one": "one", "https://one:443": "one", "http://one:443": "one:443", "http://[::1]:80": "[::1]"}
    assert {url: target_of(url, exact=False).authority for url in hosts} == hosts
    assert target_of("https://bücher.example", exact=False).authority == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "url",
    ["https://me:hunter2@host/v1", "https://hunter2@host", "https://me:hunt/er2@host", "http://me:hunter2@host:x"],
)
def test_a_password_in_a_url_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(InputError, match="user name or a password") as caught:
        normal(url)
    assert "er2" not in str(caught.value) and "key:" in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://somewhere", "localhost:8000", "", "http://", "http://host:port", "http://a b"])
def test_what_is_no_url_is_named(url: str) -> None:
    with pytest.raises(InputError, match="is not an HTTP address"):
        normal(url)


def test_people_see_neither_passwords_nor_keys_in_a_url() -> None:
    assert shown("http://me:pass@proxy:3128/x?key=AIza&api-version=7&b") == "http://proxy:3128/x?key=…&api-version=7&b"
    assert shown("me:pass@proxy:3128") == "proxy:3128"


def test_the_environment_says_which_proxy_and_for_whom_none() -> None:
    said = {"HTTPS_PROXY": "http://secure:1", "http_proxy": "http://plain:2", "HTTP_PROXY": "http://other:3"}
    assert environment_proxy("https://api.openai.com/v1", said) == "http://secure:1"
    assert environment_proxy("http://vllm:8000", said) == "http://plain:2"
    assert environment_proxy("http://vllm:8000", {"ALL_PROXY": "http://all:4"}) == "http://all:4"
    assert environment_proxy("http://vllm:8000", {"http_proxy": "", "all_proxy": ""}) is None
    for url in ("http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "http://a.localhost", "http://127.8.0.1"):
        assert environment_proxy(url, said) is None, "this machine"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "https://host", True),
        ("example.com", "https://api.example.com", True),
        (".example.com", "https://api.example.com", True),
        ("*.example.com", "https://api.example.com", True),
        ("example.com", "https://badexample.com", False),
        ("other, Example.COM ", "https://example.com", True),
        ("example.com:8443", "https://example.com:8443", True),
        ("example.com:8443", "https://example.com", False),
        ("10.0.0.0/8", "http://10.2.3.4:8000", True),
        ("10.0.0.0/8", "http://11.2.3.4:8000", False),
        ("fd00::/8", "http://[fd00::1]:8000", True),
        ("192.168.1.5", "http://192.168.1.5", True),
        ("", "https://host", False),
    ],
)
def test_no_proxy_names_hosts_domains_ports_and_networks(no_proxy: str, url: str, direct: bool) -> None:
    said = {"all_proxy": "http://proxy:1", "NO_PROXY": no_proxy}
    assert (environment_proxy(url, said) is None) is direct


def test_a_proxy_has_its_password_and_a_kind_that_is_not_supported_is_named() -> None:
    found = proxy_of("http://me:p%40ss@proxy:3128")
    assert (found.host, found.port, found.authorization) == ("proxy", 3128, "Basic bWU6cEBzcw==")
    assert proxy_of("proxy:3128").host == "proxy"
    with pytest.raises(InputError, match="socks5") as caught:
        proxy_of("socks5://me:hunter2@proxy:1080")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"headers": {"Host": "x"}}, "set by the gateway itself"),
        ({"headers": {"x y": "z"}}, "not a header that can be sent"),
        ({"headers": {"x": "a\nb: c"}}, "not a header that can be sent"),
        ({"forward_headers": ("Authorization",)}, "secret for this gateway"),
        ({"client_key": "k.pem"}, "without client_cert"),
        ({"proxy": "socks5://x:1"}, "not supported"),
    ],
)
def test_what_cannot_be_sent_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        reach_of(ReachConfig(**settings), source="upstreams[0]")


def test_the_defaults_take_no_place_in_a_table() -> None:
    assert reach_of(ReachConfig(), source="x") is None
    assert reach_of(ReachConfig(headers={"API-Key": "env:KEY"}), source="x") == Reach(headers=(("api-key", "env:KEY"),))
