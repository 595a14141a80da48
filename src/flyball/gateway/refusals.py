"""What a client is told where no answer came: refusals in OpenAI's envelope, and the status of a failure."""

from __future__ import annotations

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal, error_body
from flyball.gateway.upstream.call import UpstreamFailure
from flyball.gateway.upstream.status_codes import EngineRefused, own_words

TIME_OUTS = frozenset({"first token", "total"})
"""An endpoint that was too slow is not asked once more: it has more to do the longer its clients insist."""
FINAL = frozenset({*TIME_OUTS, *(f"status {status}" for status in range(300, 400))})
"""What would not be otherwise the next time, on the same endpoint."""


def refuse(exchange: Exchange, refusal: HttpRefusal, *, headers: bytes = b"", body: bytes = b"") -> None:
    """Send a refusal in OpenAI's envelope; `body`: it is written already."""
    lines = b"".join(f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in refusal.headers)
    body = body or error_body(refusal.status, refusal.message, code=refusal.code, param=refusal.param)
    exchange.answer(refusal.status, body, headers=headers + lines)


def kind_of(failure: Exception) -> str:
    """What a record calls a failure."""
    if isinstance(failure, EngineRefused):
        return f"status {failure.status}"
    return failure.kind if isinstance(failure, UpstreamFailure) else getattr(failure, "code", "error")


def status_of(failure: UpstreamFailure) -> int:
    """What the client is told: load as the endpoint says it, its failure as one of a gateway, its silence as that."""
    if failure.load:
        return failure.status
    if failure.kind in TIME_OUTS or failure.kind == "stall":
        return 504
    if 400 <= failure.status < 600 and own_words(failure.body):  # the libraries of clients know no others
        return failure.status
    return 503 if failure.kind in ("unavailable", "withdrawn") else 502
