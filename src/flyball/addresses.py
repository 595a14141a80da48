"""Where somebody's OpenAI-compatible server is and how it is reached: base path, query, headers, proxy. Pure.

A URL without a path gets /v1; with one, the path is the base before /chat/completions. Older tables and releases hold
URLs whose /v1 was cut off: for those `exact` is False, and /v1 is appended whatever the path.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec
from msgspec import Meta

from flyball.errors import InputError

DIRECT: Final = "none"
_ENDS: Final = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""
_OURS: Final = frozenset(
    ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade")
)
_KEPT: Final = frozenset(("authorization", "cookie", "proxy-authorization"))
_SHOWN: Final = frozenset(("api-version",))
"""Parts of a query that are no secret; Gemini's `key` is one."""
TRACE: Final = ("traceparent",)
REFERENCES: Final = ("env:", "file:")


class Reach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a server is reached beyond its URL and key; values of headers and query may be env:NAME or file:PATH."""

    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    forward: tuple[str, ...] = TRACE  # headers of requests that go on to it
    proxy: str | None = None  # None: as the environment says; "none": never one
    ca_file: str | None = None  # beside the authorities of the system
    client_cert: str | None = None
    client_key: str | None = None


class ReachConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is reached beyond its URL and key, as people write it."""

    headers: Annotated[
        dict[str, str], Meta(description="Sent with each request; a value may be env:NAME or file:PATH.")
    ] = msgspec.field(default_factory=dict)
    query: Annotated[
        dict[str, str], Meta(description="Added to each URL, such as {api-version: …}; env: and file: as in headers.")
    ] = msgspec.field(default_factory=dict)
    forward_headers: Annotated[
        tuple[str, ...], Meta(description="Headers of a client's request that go on to the server.")
    ] = TRACE
    proxy: Annotated[
        str | None,
        Meta(description="http://HOST:PORT, env:NAME or file:PATH; none: no proxy; null: as HTTPS_PROXY and NO_PROXY."),
    ] = None
    ca_file: Annotated[
        str | None, Meta(description="Certificates (PEM) that are trusted beside those of the system.")
    ] = None
    client_cert: Annotated[str | None, Meta(description="For mutual TLS: a certificate (PEM).")] = None
    client_key: Annotated[str | None, Meta(description="Its key (PEM), where the certificate's file lacks it.")] = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy: where it is, and the value of Proxy-Authorization."""

    host: str
    port: int
    authorization: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server as requests go to it, secrets filled in."""

    secure: bool
    host: str
    port: int
    base: str
    query: str
    headers: tuple[tuple[str, str], ...]
    proxy: Proxy | None

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def place(self, name: str) -> str:
        """What stands in a request line for a path such as /chat/completions."""
        path = self.base + name + (f"{'&' if '?' in name else '?'}{self.query}" if self.query else "")
        return f"http://{self.authority}{path}" if self.proxy and not self.secure else path


def reach_of(config: ReachConfig, *, source: str) -> Reach | None:
    """The settings as a table holds them, None where all are the defaults; InputError for what cannot be sent."""
    for name, value in config.headers.items():
        _check_header(name, value, source)
    if config.client_key and not config.client_cert:
        raise InputError(f"{source}: client_key without client_cert", cure="name the certificate too")
    for name in config.forward_headers:
        _check_header(name, "", source)
        if name.lower() in _KEPT:
            raise InputError(
                f"{source}: {name} is the client's secret for this gateway and does not go on",
                cure="give the server a key of its own: `key:` or `headers:`",
            )
    if config.proxy and config.proxy != DIRECT and not config.proxy.startswith(REFERENCES):
        proxy_of(config.proxy)
    found = Reach(
        headers=tuple((name.lower(), value) for name, value in config.headers.items()),
        query=tuple(config.query.items()),
        forward=tuple(name.lower() for name in config.forward_headers),
        proxy=config.proxy,
        ca_file=config.ca_file,
        client_cert=config.client_cert,
        client_key=config.client_key,
    )
    return None if found == Reach() else found


def _check_header(name: str, value: str, source: str) -> None:
    if not _NAME.fullmatch(name) or any(ord(letter) < 32 and letter != "\t" for letter in value):
        raise InputError(
            f"{source}: {name!r} is not a header that can be sent", cure="give a name and a value of one line"
        )
    if name.lower() in _OURS:
        raise InputError(f"{source}: the header {name} is set by the gateway itself", cure="leave it out")


def checked(url: str) -> SplitResult:
    """The parts of a server's URL; InputError for what is none or holds a password."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        parts = None
    if "@" in (url if parts is None else parts.netloc):
        raise InputError(
            "the URL holds a user name or a password, which would end up in logs",
            cure="leave it out of the URL; name a secret with `key:`, or `headers: {authorization: env:NAME}`",
        )
    if parts is None:
        raise InputError(f"{shown(url)!r} is not an HTTP address", cure="give one such as http://127.0.0.1:8000")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\x00-\x20\x7f]", url.strip()):
        raise InputError(f"{shown(url)!r} is not an HTTP address", cure="give one such as http://127.0.0.1:8000")
    return parts


def normal(url: str) -> tuple[str, bool]:
    """A URL as tables hold it, and whether it is exact: where a base ends in /v1 that is cut off, as it always was."""
    parts = checked(url)
    path = parts.path.rstrip("/")
    for end in _ENDS:
        if path.endswith(end):
            path = path.removesuffix(end).rstrip("/")
            break
    exact = bool(parts.query) or not (path == "" or path.endswith("/v1"))
    if not exact:
        path = path.removesuffix("/v1")
    elif not path:
        path = "/v1"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{query}", exact


def target_of(
    url: str,
    *,
    exact: bool,
    headers: tuple[tuple[str, str], ...] = (),
    query: tuple[tuple[str, str], ...] = (),
    proxy: str | None = None,
) -> Target:
    """Where requests go; `headers` and `query` hold values, `proxy` a URL."""
    parts = checked(url)
    path = parts.path.rstrip("/")
    base = (path or "/v1") if exact else path.removesuffix("/v1") + "/v1"
    more = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    return Target(
        secure=secure,
        host=host if host.isascii() else host.encode("idna").decode(),
        port=parts.port or (443 if secure else 80),
        base=quote(base, safe="/%:@!$&'()*+,;=~-._"),
        query="&".join(filter(None, (quote(parts.query, safe="/%:@!$&'()*+,;=~-._?"), more))),
        headers=headers,
        proxy=proxy_of(proxy) if proxy and proxy != DIRECT else None,
    )


def proxy_of(url: str) -> Proxy:
    """A proxy's URL taken apart; InputError for a kind that is not supported."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit("none:"), None
    if parts.scheme != "http" or not parts.hostname:
        kind = parts.scheme if parts.scheme in ("https", "socks", "socks4", "socks5", "socks5h") else "this"
        raise InputError(
            f"a proxy of {kind} kind is not supported ({shown(url)})",
            cure="name an HTTP proxy, http://HOST:PORT, or `proxy: none` for this server",
        )
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port or 80, authorization)


def environment_proxy(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY mean for a URL; this machine is never proxied."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if is_loopback_name(host):
        return None

    def value(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name.upper()) or ""

    found = value(f"{parts.scheme}_proxy") or value("all_proxy")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return found if found and not _bypassed(host, port, value("no_proxy")) else None


def is_loopback_name(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bypassed(host: str, port: int, no_proxy: str) -> bool:
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        name, _, only = entry.rpartition(":") if re.fullmatch(r"[^:]*:\d+", entry) else (entry, "", "")
        if not name or (only and int(only) != port):
            continue
        if _in_network(host, name.strip("[]")):
            return True
        name = name.removeprefix("*").removeprefix(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except (ValueError, TypeError):
        return False


def shown(url: str) -> str:
    """A URL for people's eyes: without user name, password and the values of its query."""
    url = re.sub(r"(?<=//)[^/?#]*@", "", url)
    url = re.sub(r"^[^/?#@]*:[^/?#@]*@", "", url)

    def hidden(match: re.Match[str]) -> str:
        return match[0] if match[1] in _SHOWN else f"{match[1]}=…"

    place, mark, query = url.partition("?")
    return place + mark + re.sub(r"([^&=#]+)=[^&#]*", hidden, query)
