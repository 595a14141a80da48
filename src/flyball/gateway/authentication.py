"""Who may call: keys by Authorization header, re-read from the ledger every .7 s. I/O: the ledger and a file.

The last keyring is kept in a sealed file, so that a worker can start while the ledger is away. A thread reads and
writes; requests only look.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from flyball.errors import FlyballError, RefusedError
from flyball.gateway.http.cors import Origins
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.security.keyring_file import keep, kept
from flyball.security.keys import ProjectKey
from flyball.security.permissions import ALL_ROUTES, may
from flyball.security.principals import LOCAL, Keyring, Principal, load_keyring
from flyball.storage.ledger import Ledger, now_ms
from flyball.telemetry import log

REFRESH_S: Final = 0.7
"""A key that is revoked must be refused within a second."""
KEEP_AGAIN_MS: Final = 60_000
"""An unchanged keyring is written again after this time, so that the file says how old it is."""


class Access:
    """The keyring as last read; while the ledger is away the last one goes on, from the file after a restart."""

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        loopback: bool,
        file: Path | None = None,
        key: ProjectKey | None = None,
    ) -> None:
        self._ledger = ledger
        self._loopback = loopback
        self.origins = Origins()  # of pages that may call without a key, by name
        self._file, self._key = file, key
        self.keyring = Keyring(())
        self.read_ms = now_ms()
        self.from_file = False
        self._kept_ms = 0
        self._stop = threading.Event()
        self._reading: threading.Thread | None = None
        if ledger is not None:
            self._begin(ledger)

    def _begin(self, ledger: Ledger) -> None:
        """Read the ledger or, while it is away, the file; the ledger's error where there is no file."""
        try:
            self._read(ledger)
        except (SQLAlchemyError, FlyballError) as error:
            found = kept(self._file, self._key, project=ledger.project) if self._file and self._key else None
            if found is None:
                raise
            self.keyring, self.read_ms = found
            self.from_file = True
            log.error("keys of %d s ago go on, from %s: %s", (now_ms() - self.read_ms) // 1000, self._file, error)

    def _read(self, ledger: Ledger) -> None:
        began = now_ms()
        last = self.keyring
        self.keyring = load_keyring(ledger, last=last)
        self.read_ms, self.from_file = began, False
        if self.keyring is not last or began - self._kept_ms > KEEP_AGAIN_MS:
            self._keep(ledger, began)

    def _keep(self, ledger: Ledger, at_ms: int) -> None:
        if self._file is None or self._key is None:
            return
        try:
            keep(self._file, self.keyring, self._key, project=ledger.project, at_ms=at_ms)
            self._kept_ms = at_ms
        except OSError as error:
            log.error("the keyring could not be kept in %s: %s", self._file, error)
            self._kept_ms = at_ms

    @property
    def age_s(self) -> float:
        """Seconds since the ledger last said which keys are good."""
        return 0.0 if self._ledger is None else max(0.0, (now_ms() - self.read_ms) / 1000)

    def check_binding(self, host: str) -> None:
        """RefusedError where anybody could call without a key."""
        if not self._loopback and self.keyring.empty:
            raise RefusedError(
                f"the gateway is not opened on {host} while no key exists",
                cure="create one with `flyball key create NAME`, or set gateway.host to 127.0.0.1",
            )

    def start(self, told: Callable[[bool], None]) -> None:
        """Begin to re-read; `told` hears of each change and failure."""
        if self._ledger is not None:
            self._reading = threading.Thread(target=self._run, args=(told,), name="flyball-keys", daemon=True)
            self._reading.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._reading is not None:
            self._reading.join(timeout=5)

    def principal(self, exchange: Exchange) -> Principal:
        """Who is calling; 401 for a missing, unknown, revoked or expired key.

        A connection remembers its last caller for as long as the keyring is the same, which saves a hash.
        """
        keyring = self.keyring  # one for all that follows: a thread may put another in its place
        if keyring.empty and self._loopback:
            self._refuse_foreign_pages(exchange)
            return LOCAL
        header, connection = exchange.headers.get(b"authorization", b""), exchange.connection
        known = connection.caller
        if known is not None and known[0] == header and known[1] == keyring.number:
            same: Principal = known[2]
            if same.expires_ms is None or same.expires_ms > now_ms():
                return same
        scheme, _, secret = header.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise HttpRefusal(401, "no API key: send Authorization: Bearer fb-…", code="missing_api_key")
        principal = keyring.find(secret.strip().decode("latin-1"))
        if principal is None:
            raise HttpRefusal(401, "this API key is unknown, revoked or expired", code="invalid_api_key")
        connection.caller = (header, keyring.number, principal)
        return principal

    def check_page(self, exchange: Exchange) -> None:
        """Who may read what tells of all routes: probes and scrapes of this machine, and keys for every route.

        On any other address, and for a page of elsewhere (by its own name, or let in by gateway.cors_origins), a key is
        needed.
        """
        host = exchange.headers.get(b"host")
        if self._loopback and (host is None or names_this_machine(host)) and not self._is_foreign_page(exchange):
            return
        if not may(self.principal(exchange), "read_metrics", ALL_ROUTES):
            raise HttpRefusal(403, "this key is limited to routes, and this page tells of all", code="forbidden")

    def _refuse_foreign_pages(self, exchange: Exchange) -> None:
        """A page from elsewhere, in a browser on this machine, must not act as its user.

        It says where it is from, or comes under its own name, made to resolve to this machine (DNS rebinding).
        """
        headers = exchange.headers
        host = headers.get(b"host")
        if host is not None and not names_this_machine(host):  # HTTP/1.0 sends none, and no browser speaks that
            raise HttpRefusal(
                421,
                "without a key the gateway answers only as 127.0.0.1 or localhost; to call it by another name create "
                "one: `flyball key create NAME`",
                code="foreign_host",
            )
        if self._is_foreign_page(exchange):
            where = headers[b"origin"].decode("latin-1")
            raise HttpRefusal(403, f"pages of {where} may not call without a key", code="foreign_origin")

    def _is_foreign_page(self, exchange: Exchange) -> bool:
        origin = exchange.headers.get(b"origin")
        if not origin:
            return False
        return not self.origins.names(origin) and not _is_of_this_machine(origin)

    def _run(self, told: Callable[[bool], None]) -> None:
        good = not self.from_file
        while not self._stop.wait(REFRESH_S):
            try:
                if self._ledger is not None:
                    self._read(self._ledger)
            except (SQLAlchemyError, FlyballError) as error:
                if good:
                    log.error("keys could not be re-read, the last ones go on: %s", error)
                good = False
                told(False)
            else:
                if not good:
                    log.info("keys are re-read from the ledger again")
                good = True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@lru_cache(maxsize=1024)
def names_this_machine(host: bytes) -> bool:
    """Whether a Host header, with a port or without, means this machine's own address."""
    name = host.decode("latin-1").strip().lower()
    if name.startswith("["):
        name, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = name.partition(":")
    return (not port or port.isdigit()) and is_loopback(name.removesuffix("."))


def _is_of_this_machine(origin: bytes) -> bool:
    return names_this_machine(origin.partition(b"://")[2])  # "null" of a file or a frame names none
