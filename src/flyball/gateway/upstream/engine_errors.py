"""What an engine means by an `error` inside an answer that is a 200: whether it is one, its words, its status. Pure."""

from __future__ import annotations

from typing import Any, Final

_STATUSES: Final = {
    "invalid_request": 400,
    "badrequest": 400,
    "bad_request": 400,
    "invalid_argument": 400,
    "context_length": 400,
    "content_filter": 400,
    "authentication": 401,
    "unauthorized": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "notfound": 404,
    "not_found": 404,
    "rate_limit": 429,
    "ratelimit": 429,
    "too_many_requests": 429,
    "quota": 429,
    "resource_exhausted": 429,
    "overloaded": 503,
    "unavailable": 503,
    "timeout": 504,
    "server_error": 500,
    "internal": 500,
}
"""By a part of an error's `type` or `code`, as OpenAI, Anthropic, Google and vLLM name them."""


def is_error(error: Any) -> bool:
    """Whether it says anything: null, "", {} and {"message": "", "code": 0} do not."""
    if isinstance(error, dict):
        return any(error.values())
    return bool(error)


def error_words(error: Any) -> str:
    """What it says, at most 300 characters."""
    message = error.get("message") or error if isinstance(error, dict) else error
    return str(message)[:300]


def error_status(error: Any) -> int:
    """The status of HTTP that it stands for; 0 where it does not say."""
    if not isinstance(error, dict):
        return 0
    for name in ("code", "status", "status_code"):
        value = error.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    for name in ("code", "type", "status"):
        value = error.get(name)
        if isinstance(value, str):
            lower = value.lower()
            for part, status in _STATUSES.items():
                if part in lower:
                    return status
    return 0
