"""Where the requests of one endpoint go: their heads, with its secrets as they are now. I/O: secrets, certificates.

What `file:` names is read again each second and after a refused key, so that a rotated one takes effect without a
restart; the environment of a running process cannot change, so that `env:` is read once.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from flyball.addresses import Reach, Target, shown
from flyball.errors import FlyballError
from flyball.inference.http_client import resolved, tls_context
from flyball.storage.routing import Endpoint
from flyball.telemetry import log

_NONE: tuple[tuple[str, bytes], ...] = ()


class Destination:
    """The target of an endpoint and the heads of requests to it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        secrets: Callable[[str], str] | None,
        proxy_for: Callable[[str], str | None] | None = None,
    ) -> None:
        self._endpoint, self._secrets, self._proxy_for = endpoint, secrets, proxy_for
        self._reach = endpoint.reach or Reach()
        self._rotates = any(value.startswith("file:") for value in self._references())
        self._troubled = False
        self._heads: dict[bytes, bytes] = {}
        self._tls: ssl.SSLContext | None = None
        self._tls_stamp: tuple[int, ...] = ()
        self._forward = tuple((name.encode(), name.encode()) for name in self._reach.forward)
        self.target: Target = self._resolved()
        self.shown = shown(endpoint.url)
        self.place = f"{self.target.host}:{self.target.port}"

    def head(self, path: bytes) -> bytes:
        """What stands before the length of a body, for a path such as /v1/chat/completions."""
        head = self._heads.get(path)
        if head is None:
            target = self.target
            lines = {"host": target.authority, **dict(target.headers)}
            if target.proxy is not None and not target.secure and target.proxy.authorization:
                lines["proxy-authorization"] = target.proxy.authorization
            lines |= {"accept-encoding": "identity", "content-type": "application/json"}
            place = target.place(path.decode().removeprefix("/v1"))
            text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            head = f"POST {place} HTTP/1.1\r\n{text}".encode()
            self._heads[path] = head
        return head

    def forwarded(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The lines of a client's request that go on to this server."""
        lines = b""
        for name, key in self._forward:
            value = headers.get(key)
            if value:
                lines += b"%b: %b\r\n" % (name, value)
        return lines

    def renewed(self) -> bool:
        """Read the secrets in files again; whether one has changed. One that is gone meanwhile stays as it was."""
        if not self._rotates:
            return False
        try:
            target = self._resolved()
        except (FlyballError, OSError) as error:
            if not self._troubled:
                log.error("%s keeps its last key: %s", self.shown, error)
            self._troubled = True
            return False
        self._troubled = False
        if target == self.target:
            return False
        self.target = target
        self._heads = {}
        log.info("%s gets a key that was read again", self.shown)
        return True

    def tls(self) -> ssl.SSLContext | None:
        """What its certificate is checked by, made again when a file of it changed; None where nothing is encrypted."""
        if not self.target.secure:
            return None
        reach = self._reach
        files = [name for name in (reach.ca_file, reach.client_cert, reach.client_key) if name]
        stamp = tuple(number for name in files for number in _stamp(name))
        if self._tls is None:
            self._tls, self._tls_stamp = tls_context(reach), stamp
        elif stamp != self._tls_stamp:
            self._tls_stamp = stamp
            try:
                self._tls = tls_context(reach)
            except FlyballError as error:  # being written: the next stamp will be another
                log.error("%s keeps its last certificates: %s", self.shown, error)
        return self._tls

    def _references(self) -> list[str]:
        reach = self._reach
        values = [value for _name, value in (*reach.headers, *reach.query)]
        return [*values, self._endpoint.api_key or "", reach.proxy or ""]

    def _resolved(self) -> Target:
        endpoint = self._endpoint
        return resolved(
            endpoint.url,
            exact=endpoint.exact,
            key=endpoint.api_key if self._secrets is not None else None,
            reach=self._reach,
            secrets=self._secrets,
            proxy_for=self._proxy_for,
        )


def _stamp(name: str) -> tuple[int, ...]:
    try:
        status = Path(name).stat()
    except OSError:
        return (0, 0)
    return status.st_ino, status.st_mtime_ns
