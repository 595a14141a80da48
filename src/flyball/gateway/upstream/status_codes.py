"""What the status of an endpoint's answer says: that the request is wrong, that there is load, that it failed. Pure."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

from flyball.gateway.upstream.call import Call, UpstreamFailure
from flyball.gateway.upstream.chunks import decoded

RETRIED: Final = frozenset({408, 429})
"""Not the request's fault, beside 5xx and 3xx: an engine that sends its clients elsewhere is none."""
SETTLED: Final = frozenset({501, 505})
"""It does not do such a thing, and will not the next time: the request is wrong, whichever server says so."""
DEFAULT_S: Final = 1.0
LOAD: Final = frozenset({429, 529})
"""Too much to do, whatever else is said; 503 only with Retry-After. 529 is Anthropic's."""


class EngineRefused(Exception):
    """The engine says the request itself is wrong (4xx): no retry will change that."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the engine answered {status}")
        self.status = status
        self.body = body


def is_refusal(status: int) -> bool:
    """Whether an answer says that the request itself is wrong: no other attempt will change that."""
    return status in SETTLED or (400 <= status < 500 and status not in RETRIED)


def failed_with(call: Call) -> UpstreamFailure:
    """The failure that an answer with a status other than 200 means, where the request is not wrong."""
    load = is_load(call.status, call.retry_after or call.retry_after_ms)
    given = (("retry-after", call.retry_after), ("retry-after-ms", call.retry_after_ms))
    return UpstreamFailure(
        f"status {call.status}",
        f"the engine answered {call.status}: {excerpt(call.body)}",
        status=call.status,
        body=call.body,
        load=load,
        retry=tuple((name, value) for name, value in given if value),
        wait_s=wait_s(call.retry_after, call.retry_after_ms) if load else 0.0,
    )


def failed_within(body: bytes, error: str, status: int) -> UpstreamFailure:
    """The failure that a 200 means with an error of this status in place of an answer."""
    load = is_load(status, "")
    text = f"the engine answered 200 with an error: {error}"
    wait = DEFAULT_S if load else 0.0
    return UpstreamFailure(f"status {status}", text, status=status, body=body, load=load, wait_s=wait)


def own_words(body: bytes) -> bytes:
    """An engine's error as it is, where it speaks OpenAI's envelope already; else nothing."""
    chunk = decoded(body) if body else None
    said = chunk is not None and isinstance(chunk.error, dict) and "message" in chunk.error
    return body if said else b""


def excerpt(body: bytes) -> str:
    """The beginning of an engine's error for the client, one line."""
    return " ".join(body[:300].decode("utf-8", "replace").split()) or "nothing"


def is_load(status: int, retry_after: str) -> bool:
    """Whether an answer says that the server has too much to do, which is no failure of its health."""
    return status in LOAD or (status == 503 and retry_after != "")


def wait_s(retry_after: str, retry_after_ms: str) -> float:
    """Seconds to wait by Retry-After (RFC 9110, 10.2.3) or OpenAI's retry-after-ms; one where neither can be read."""
    for text, unit in ((retry_after_ms, 0.001), (retry_after, 1.0)):
        seconds = _number(text)
        if seconds is not None:
            return seconds * unit
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_S


def _number(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < 1e9 else None
