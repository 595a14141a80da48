"""Which pages in browsers may call the gateway (CORS), by `gateway.cors_origins`; without it nothing is added.

Answers carry no cookies and every call its own key, so that an allowed page may send any header that it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

ANY: Final = "*"
EXPOSED: Final = (
    *("x-flyball-request-id", "x-flyball-release", "x-flyball-variant", "x-flyball-recording", "x-flyball-ignored"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    *("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    *("x-request-id", "x-should-retry", "retry-after"),
)
"""What a page may read of an answer beside its content type."""
ALLOWED: Final = b"authorization, content-type, x-flyball-client-id, x-flyball-conversation, x-flyball-variant"
METHODS: Final = b"GET, HEAD, POST, OPTIONS"
MAX_AGE_S: Final = 600
MOST_HEADERS: Final = 4096
_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_EXPOSES: Final = b"access-control-expose-headers: %b\r\n" % ", ".join(EXPOSED).encode()


class Origins:
    """The origins that are allowed; of none, any page of another origin is kept out by its browser."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        known = [origin.rstrip("/").lower() for origin in allowed]
        self._any = ANY in known
        self._named = frozenset(origin.encode() for origin in known if origin != ANY)
        self.on = self._any or bool(self._named)

    def names(self, origin: bytes) -> bool:
        """Whether an origin is allowed by its name: "*" names nobody, and never lets a page in without a key."""
        return origin.lower() in self._named

    def lines(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Header lines that let the page that asks read the answer; none for a page that may not, or for no page."""
        origin = headers.get(b"origin")
        if origin is None or not self.on:
            return b""
        if self._any:
            return b"access-control-allow-origin: *\r\n%b" % _EXPOSES
        if not self.names(origin):
            return b"vary: origin\r\n"
        return b"access-control-allow-origin: %b\r\nvary: origin\r\n%b" % (origin, _EXPOSES)

    def allows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the page that asks may call."""
        origin = headers.get(b"origin")
        return origin is not None and (self._any or self.names(origin))

    def preflight(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Further header lines for a browser that asks first (OPTIONS), also for an address of a private network."""
        wanted = headers.get(b"access-control-request-headers", b"").strip()
        names = wanted if len(wanted) <= MOST_HEADERS and _NAMES.fullmatch(wanted) else ALLOWED
        private = headers.get(b"access-control-request-private-network", b"").strip().lower() == b"true"
        return (
            b"access-control-allow-methods: %b\r\naccess-control-allow-headers: %b\r\n%baccess-control-max-age: %d\r\n"
            % (
                METHODS,
                names,
                b"access-control-allow-private-network: true\r\n" if private else b"",
                MAX_AGE_S,
            )
        )


def is_preflight(method: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks what it may do before it does it."""
    return method == b"OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers
