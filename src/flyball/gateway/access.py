"""Who may call: keys by Authorization header, re-read from the ledger twice a second. I/O: the ledger, in a thread."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from flyball.errors import FlyballError, RefusedError
from flyball.gateway.envelope import HttpRefusal
from flyball.gateway.exchange import Exchange
from flyball.security.principals import LOCAL, Keyring, Principal, load_keyring
from flyball.storage.ledger import Ledger
from flyball.telemetry import log

REFRESH_S = 0.4


class Access:
    """The keyring as last read; while the ledger is away the last one goes on."""

    def __init__(self, ledger: Ledger | None, *, loopback: bool) -> None:
        self._ledger = ledger
        self._loopback = loopback
        self.keyring = Keyring(()) if ledger is None else load_keyring(ledger)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

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
            self._thread = threading.Thread(target=self._run, args=(told,), name="flyball-keys", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def principal(self, exchange: Exchange) -> Principal:
        """Who is calling; 401 for a missing, unknown, revoked or expired key."""
        if self.keyring.empty and self._loopback:
            _refuse_foreign_pages(exchange)
            return LOCAL
        header = exchange.headers.get(b"authorization", b"")
        scheme, _, secret = header.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise HttpRefusal(401, "no API key: send Authorization: Bearer fb-…", code="missing_api_key")
        principal = self.keyring.find(secret.strip().decode("latin-1"))
        if principal is None:
            raise HttpRefusal(401, "this API key is unknown, revoked or expired", code="invalid_api_key")
        return principal

    def _run(self, told: Callable[[bool], None]) -> None:
        good = True
        while not self._stop.wait(REFRESH_S):
            try:
                if self._ledger is not None:
                    self.keyring = load_keyring(self._ledger)
            except (SQLAlchemyError, FlyballError) as error:
                if good:
                    log.error("keys could not be re-read, the last ones go on: %s", error)
                good = False
                told(False)
            else:
                good = True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_foreign_pages(exchange: Exchange) -> None:
    """A page from elsewhere, in a browser on this machine, must not act as its user."""
    origin = exchange.text(b"origin")
    if origin and not is_loopback(urlsplit(origin).hostname or ""):
        raise HttpRefusal(403, f"pages of {origin} may not call without a key", code="foreign_origin")
