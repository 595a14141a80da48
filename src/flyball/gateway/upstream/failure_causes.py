"""Why an endpoint failed, in our own words: they go into the answer, the log, the record and findings.

An engine's words may quote the prompt, so that none of them is here: a failure is named by its kind and, where no
connection came about, by what the operating system or TLS said.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from typing import Final

SAY_AGAIN_S: Final = 60.0
MOST_KEPT: Final = 1024
_WORDS: Final = {
    "dropped": "it closed the connection before its answer was whole",
    "first token": "its first token did not come in time",
    "malformed": "what it sent is no answer",
    "stall": "it stopped in mid-answer",
    "stream": "its stream told of an error, or ended early",
    "total": "its answer was not whole in time",
    "unavailable": "none of its engines is available",
    "withdrawn": "the release was taken off its route",
}
_NUMBER: Final = re.compile(r"\[?[Ee]rrno (\d+)")


def words_of(kind: str) -> str:
    """What a kind of failure means."""
    if kind.startswith("status "):
        return f"it answered {kind.removeprefix('status ')}"
    return _WORDS.get(kind, kind)


def connect_words(error: BaseException, *, host: str, timeout_s: float) -> str:
    """Why no connection came about: name, certificate, refusal, reset, way, time."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the name {host} is not known (DNS)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as expected: {(error.reason or 'handshake failed').replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return f"no connection within {timeout_s:g} s"
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _NUMBER.search(str(error))) is not None:
        number = int(found[1])  # of several addresses all failed: the errors stand in the text of one
    if number == errno.ECONNREFUSED:
        return "the connection was refused: nothing listens there"
    if number in (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE) or isinstance(error, ConnectionError):
        return "the connection was reset"
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "no way leads there: network or host is unreachable"
    return f"no connection: {errno.errorcode.get(number, 'error') if number is not None else type(error).__name__}"


class FailureCauses:
    """Tells a log when to name a failure: once a minute for each endpoint and cause."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def due(self, endpoint: str, cause: str) -> int | None:
        """None: it was said within the last minute. Else how often it happened since then without being said."""
        now = time.monotonic()
        key = (endpoint, cause)
        said, silent = self._said.get(key, (-SAY_AGAIN_S, 0))
        if now - said < SAY_AGAIN_S:
            self._said[key] = (said, silent + 1)
            return None
        if len(self._said) >= MOST_KEPT:
            self._said.clear()
        self._said[key] = (now, 0)
        return silent
