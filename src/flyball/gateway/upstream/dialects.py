"""What a server will not take that the gateway adds to a request, read from its answer. Pure.

Streams are asked to count their tokens (`stream_options`). Servers that do not know the field refuse the request;
they get it without from then on, and their tokens are estimated.
"""

from __future__ import annotations

from typing import Final

_NAMED: Final = (b"stream_options", b"include_usage", b"streamoptions")
_SUSPECT: Final = (
    *(b"extra inputs", b"extra_forbidden", b"extra fields", b"unknown field", b"unknown name", b"unknown parameter"),
    *(b"unrecognized", b"unrecognised", b"unexpected keyword", b"unexpected field", b"unexpected parameter"),
    *(b"unsupported parameter", b"unsupported field", b"additional propert", b"not permitted", b"not supported"),
    *(b"invalid field", b"invalid parameter", b"unexpected property"),
)
_LOOKED_AT: Final = 65_536


def names_usage(body: bytes) -> bool:
    """Whether a refusal speaks of the field itself."""
    text = body[:_LOOKED_AT].lower()
    return any(mark in text for mark in _NAMED)


def may_mean_usage(status: int, body: bytes) -> bool:
    """Whether a refusal may be for the field: it is worth to ask without."""
    if names_usage(body):
        return True
    text = body[:_LOOKED_AT].lower()
    return status in (400, 422) and (not text.strip() or any(mark in text for mark in _SUSPECT))


def refusal_in(events: list[bytes]) -> bytes | None:
    """The first event of a stream where it is an error that names the field; None for any other."""
    first = events[0] if events else b""
    return first if b'"error"' in first and names_usage(first) else None
