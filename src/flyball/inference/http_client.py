"""Asks somebody's server over HTTP, through its proxy and with its certificates. I/O: HTTP, certificate files.

Whatever asks a server outside the gateway's own event loop does it through here: evaluation, the list of models, signs
of life.
"""

from __future__ import annotations

import http.client
import ssl
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from flyball import __version__
from flyball.addresses import DIRECT, REFERENCES, Reach, Target, shown, target_of
from flyball.errors import InputError, UpstreamError
from flyball.inference.decompression import KNOWN, Decoder

USER_AGENT: Final = f"flyball/{__version__}"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
NO_BYTE_CAME = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
Secrets = Callable[[str], str]
ProxyOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """What asking a server takes besides its URL: a key or a reference to it, how it is reached, who knows secrets."""

    api_key: str | None = None
    reach: Reach | None = None
    secrets: Secrets | None = None
    proxy_for: ProxyOf | None = None
    home: str = ""  # where file: of a reference begins, for a process that resolves it itself


def client_of(url: str, way: ServerAccess | None, *, exact: bool, timeout_s: float) -> ServerClient:
    """A client of the server at a URL; InputError for a secret or a certificate that cannot be had."""
    way = way or ServerAccess()
    target = resolved(url, exact=exact, key=way.api_key, reach=way.reach, secrets=way.secrets, proxy_for=way.proxy_for)
    return ServerClient(target, tls=tls_context(way.reach) if target.secure else None, timeout_s=timeout_s)


def root_client(url: str, way: ServerAccess, *, timeout_s: float) -> ServerClient:
    """A client of a server whose paths are whole: they begin where its URL ends. Errors as of `client_of`."""
    target = resolved(url, exact=True, key=way.api_key, reach=way.reach, secrets=way.secrets, proxy_for=way.proxy_for)
    target = replace(target, base=target.base if urlsplit(url).path.rstrip("/") else "")
    return ServerClient(target, tls=tls_context(way.reach) if target.secure else None, timeout_s=timeout_s)


def beside(url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float) -> ServerClient:
    """A client of a process of our own, whose paths are whole; never through a proxy, whatever the environment says."""
    found = target_of(url, exact=True, headers=tuple((headers or {}).items()))
    return ServerClient(replace(found, base=""), timeout_s=timeout_s)


def resolved(
    url: str,
    *,
    exact: bool,
    key: str | None = None,
    reach: Reach | None = None,
    secrets: Secrets | None = None,
    proxy_for: ProxyOf | None = None,
) -> Target:
    """Where requests go, with every reference replaced by its secret; without `secrets` all is taken as it is.

    With them a key must be a reference, values of headers and query may be one. InputError for a secret that is not
    there or can be in no header.
    """
    reach = reach or Reach()

    def value(text: str) -> str:
        return secrets(text) if secrets is not None and text.startswith(REFERENCES) else text

    headers = {name: value(text) for name, text in reach.headers}
    if key:
        headers.setdefault("authorization", f"Bearer {secrets(key) if secrets is not None else key}")
    for name, text in headers.items():
        if not text.isprintable() or not text.isascii():
            raise InputError(
                f"the {name} for {shown(url)} has characters that no header can carry",
                cure="look for line breaks and quotation marks in the secret",
            )
    headers.setdefault("user-agent", USER_AGENT)
    proxy = value(reach.proxy) if reach.proxy else proxy_for(url) if proxy_for else None
    query = tuple((name, value(text)) for name, text in reach.query)
    return target_of(
        url, exact=exact, headers=tuple(headers.items()), query=query, proxy=None if proxy == DIRECT else proxy
    )


def tls_context(reach: Reach | None) -> ssl.SSLContext:
    """What a server's certificate is checked by, and what this client shows; InputError for files that are none."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if reach is None:
        return context
    try:
        if reach.ca_file:
            context.load_verify_locations(reach.ca_file)
        if reach.client_cert:
            context.load_cert_chain(reach.client_cert, reach.client_key)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(filter(None, (reach.ca_file, reach.client_cert, reach.client_key)))
        raise InputError(
            f"{names}: no certificates that can be read: {error}", cure="give PEM files that this user may read"
        ) from error
    return context


def _body(response: http.client.HTTPResponse) -> bytes:
    """The whole answer, decompressed where it is; IncompleteRead when it was cut."""
    known = response.length is not None
    if known and (response.length or 0) > MAX_ANSWER_BYTES:
        raise _too_large()
    raw = response.read() if known else response.read(MAX_ANSWER_BYTES + 1)
    if len(raw) > MAX_ANSWER_BYTES:
        raise _too_large()
    encoding = (response.getheader("content-encoding") or "").strip().lower().encode("latin-1")
    if encoding not in KNOWN:
        return raw
    whole = bytearray()
    try:
        for piece in Decoder().pieces(raw):
            whole += piece
            if len(whole) > MAX_ANSWER_BYTES:
                raise _too_large()
    except zlib.error as error:
        raise UpstreamError(f"the answer is not compressed as it says: {error}", cure="look at the server") from error
    return bytes(whole)


def _too_large() -> UpstreamError:
    return UpstreamError("the answer is larger than 64 MiB", cure="look at the server")


def answers(gateway: ServerClient) -> bool:
    """Whether a gateway of our own is up."""
    try:
        status, _ = gateway.get("/healthz")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        gateway.close()
    return status == 200


class ServerClient:
    """A server to ask; threads may share it, each call borrows a kept-alive connection.

    A connection that the server dropped before a byte came is replaced once. Answers are read to MAX_ANSWER_BYTES.
    """

    def __init__(self, target: Target, *, tls: ssl.SSLContext | None = None, timeout_s: float = 60.0) -> None:
        self.target, self._timeout_s = target, timeout_s
        self._tls = (tls or tls_context(None)) if target.secure else None
        self._idle: deque[http.client.HTTPConnection] = deque()

    def get(self, name: str) -> tuple[int, bytes]:
        """Status and body of a path such as /models; OSError or HTTPException when none comes."""
        return self.ask("GET", name)

    def post(self, name: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of a path such as /chat/completions; OSError or HTTPException when none comes."""
        return self.ask("POST", name, body)

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def ask(
        self, method: str, name: str, body: bytes | None = None, *, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of any request; OSError or HTTPException when none comes."""
        headers: Mapping[str, str] = dict(self.target.headers)
        if body is not None:
            headers = {**headers, "content-type": content_type}
        if (proxy := self.target.proxy) is not None and not self.target.secure and proxy.authorization:
            headers = {**headers, "proxy-authorization": proxy.authorization}
        for fresh in (False, True):
            connection = self._borrow(fresh=fresh)
            try:
                connection.request(
                    method, self.target.place(name), body, headers={**headers, "host": self.target.authority}
                )
                response = connection.getresponse()
                raw = _body(response)
            except NO_BYTE_CAME:
                connection.close()
                if fresh:
                    raise
                continue
            except (OSError, http.client.HTTPException, UpstreamError):
                connection.close()
                raise
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return response.status, raw
        raise AssertionError("unreachable")

    def _borrow(self, *, fresh: bool) -> http.client.HTTPConnection:
        if not fresh:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        target, proxy = self.target, self.target.proxy
        host, port = (proxy.host, proxy.port) if proxy else (target.host, target.port)
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        if proxy:
            lines = {"host": f"{target.host}:{target.port}"}  # which Python 3.11 leaves out
            if proxy.authorization:
                lines["proxy-authorization"] = proxy.authorization
            connection.set_tunnel(target.host, target.port, headers=lines)
        return connection
