"""The console reads, on this machine alone, and lets no page of anybody else in."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from console_site import Site
from flyball.console.security_middleware import is_loopback

PATHS = ("/", "/requests", "/healthz", "/nowhere", "/static/console.css", "/charts/traffic-wide-light.svg")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_what_is_not_ours(site: Site, path: str) -> None:
    headers = site.get(path).headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy and "http:" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers or "uvicorn" not in headers["server"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "", "localhost.", "[::2]"]
)
def test_a_foreign_host_name_is_refused_so_that_dns_rebinding_reads_nothing(site: Site, host: str) -> None:
    answer = site.get("/requests", headers={"host": host})
    assert answer.status_code in (400, 421)
    assert "kettle" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:8400"])
def test_loopback_names_are_answered_at_any_port_so_that_forwarding_works(site: Site, host: str) -> None:
    assert site.get("/healthz", headers={"host": host}).status_code == 200
    assert is_loopback(host)


def test_two_host_headers_are_refused(site: Site) -> None:
    place = urlsplit(site.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", "127.0.0.1")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)
    connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    import httpx

    for path in ("/", "/requests", "/records/x"):
        assert httpx.request(method, site.url + path).status_code == 405


def test_pages_are_never_stored_by_a_browser_and_our_files_for_ever(site: Site) -> None:
    assert site.get("/").headers["cache-control"] == "no-store"
    assert "immutable" in site.get("/static/console.js").headers["cache-control"]
