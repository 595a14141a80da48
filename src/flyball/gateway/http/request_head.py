"""What makes the head of a request ambiguous or too large to be answered, and how a body is framed."""

from __future__ import annotations

from flyball.gateway.http.exchange import Exchange

SINGLE = frozenset({b"content-length", b"transfer-encoding", b"host", b"authorization", b"content-type"})
"""Headers that come once."""
Refusal = tuple[int, str, str]
"""Status, message and code."""


def objection(exchange: Exchange, most: int, setting: int) -> Refusal | None:
    """Why a request is refused by its head; `most` bytes of a body are read, `setting` is gateway.max_body_bytes."""
    headers = exchange.headers
    coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if exchange.modern and b"host" not in headers:
        return 400, "the Host header is missing", "bad_http"
    if coding is not None and (length is not None or coding.strip().lower() != b"chunked" or not exchange.modern):
        return 400, "a body has either one Content-Length or Transfer-Encoding: chunked", "bad_http"
    if length is not None and not length.isdigit():
        return 400, "Content-Length is not a number", "bad_http"
    if length is not None and int(length) > most:
        return too_large(most, setting)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return 415, "compressed bodies are not read; send plain JSON", "unsupported_encoding"
    return None


def too_large(most: int, setting: int) -> Refusal:
    """A body over the limit that holds for its path."""
    named = " (gateway.max_body_bytes)" if most == setting else ""
    return 413, f"the body is larger than {most} bytes{named}", "body_too_large"


def framing_lines(headers: dict[bytes, bytes]) -> bytes:
    """The header lines that say where a body ends."""
    framing = [(name, headers.get(name)) for name in (b"content-length", b"transfer-encoding")]
    return b"".join([b"%b: %b\r\n" % (name, value) for name, value in framing if value is not None])


def origin_form(target: bytes) -> bytes:
    """The path of a target that names scheme and host too, as clients of proxies send it (RFC 9112, 3.2.2)."""
    return b"/" + target.split(b"/", 3)[3] if target.count(b"/") > 2 and b"://" in target else target
