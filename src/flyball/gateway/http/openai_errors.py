"""Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import msgspec

from flyball.errors import FlyballError, UnsupportedField

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
}
JSON_TYPE = b"application/json"


class HttpRefusal(Exception):
    """An answer other than the wished one: status, message and code, with further header lines where needed."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers


def refusal_of(error: FlyballError) -> HttpRefusal:
    """The refusal that says what an expected error says."""
    message = f"{error.message}; {error.cure}" if error.cure else error.message
    param = error.param if isinstance(error, UnsupportedField) else None
    return HttpRefusal(error.http_status, message, code=error.code, param=param)


def error_body(status: int, message: str, *, code: str, param: str | None = None) -> bytes:
    """The envelope as JSON; the type follows from the status."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})
