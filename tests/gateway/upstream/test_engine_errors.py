"""Errors inside a 200."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.gateway.upstream.engine_errors import error_status, error_words, is_error


@pytest.mark.parametrize("error", [None, "", {}, [], 0, False, {"message": "", "code": 0, "type": None}])
def test_an_empty_error_is_none(error: Any) -> None:
    assert not is_error(error)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "x", "code": 400}, 400),
        ({"message": "x", "code": "400"}, 400),
        ({"message": "x", "status": 503}, 503),
        ({"message": "x", "code": None, "type": "invalid_request_error"}, 400),
        ({"message": "x", "code": "context_length_exceeded"}, 400),
        ({"message": "x", "type": "BadRequestError", "code": 1}, 400),
        ({"message": "x", "code": "rate_limit_exceeded", "type": "requests"}, 429),
        ({"message": "x", "type": "insufficient_quota"}, 429),
        ({"message": "x", "status": "RESOURCE_EXHAUSTED"}, 429),
        ({"message": "x", "type": "overloaded_error"}, 503),
        ({"message": "x", "type": "server_error"}, 500),
        ({"message": "x", "code": 42}, 0),
        ({"message": "x"}, 0),
        ("boom", 0),
        (["boom"], 0),
    ],
)
def test_an_error_says_its_status_in_many_ways_or_not_at_all(error: Any, status: int) -> None:
    assert is_error(error) and error_status(error) == status


def test_its_words_are_few() -> None:
    assert error_words({"message": "too long"}) == "too long" and error_words("boom") == "boom"
    assert len(error_words({"message": "x" * 1000})) == 300 and "7" in error_words({"code": 7})
