"""What one request meets is not an endpoint's health."""

from __future__ import annotations

import pytest

from flyball.gateway.upstream.circuit_breaker import (
    AVOIDED,
    CLOSED,
    DOUBTED,
    FAILURES_TO_OPEN,
    MAX_PAUSE_S,
    OPEN,
    PAUSE_S,
    CircuitBreaker,
)
from flyball.gateway.upstream.status_codes import DEFAULT_S, is_load, is_refusal, wait_s

LONG_AGO = 100.0


def failing(kind: str, times: int = FAILURES_TO_OPEN) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(times):
        breaker.failed(kind, f"{kind}: it failed", LONG_AGO)
    return breaker


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("connect", OPEN),
        *((kind, AVOIDED) for kind in ("dropped", "first token", "total", "stall")),
        *((f"status {status}", DOUBTED) for status in (500, 502, 503, 504, 599)),
        *((kind, CLOSED) for kind in ("malformed", "stream", "status 302", "status 408", "status 429")),
    ],
)
def test_each_kind_of_failure_says_as_much_as_it_can(kind: str, state: int) -> None:
    assert failing(kind, FAILURES_TO_OPEN - 1).state == CLOSED
    breaker = failing(kind)
    assert breaker.state == state and (breaker.cause != "") == (state != CLOSED)
    now = LONG_AGO
    assert breaker.usable(now, patient=True) == (state != OPEN)
    assert breaker.usable(now, patient=False) == (state <= DOUBTED)
    assert (breaker.rank(now) == 0) == (state == CLOSED)


@pytest.mark.parametrize("kind", ["dropped", "total", "status 500"])
def test_whoever_answers_others_meanwhile_is_not_ill(kind: str) -> None:
    breaker = CircuitBreaker()
    for _ in range(50):
        breaker.succeeded(LONG_AGO)
        breaker.failed(kind, kind, LONG_AGO + 0.5)
    assert breaker.state == CLOSED and breaker.rank(LONG_AGO) == 0


def test_no_connection_is_certain_whoever_was_answered_before() -> None:
    breaker = CircuitBreaker()
    breaker.succeeded(LONG_AGO)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed("connect", "connect: refused", LONG_AGO + 0.1)
    assert breaker.state == OPEN


@pytest.mark.parametrize("kind", ["connect", "dropped", "status 500"])
def test_after_a_pause_one_request_tries_and_decides(kind: str) -> None:
    breaker, now = failing(kind), LONG_AGO + PAUSE_S
    assert breaker.usable(now, patient=False) and breaker.rank(now) == 0
    breaker.taken()
    assert breaker.rank(now) > 0 and breaker.usable(now, patient=False) == (breaker.state <= DOUBTED)
    breaker.failed(kind, kind, now)
    breaker.trial = False
    assert breaker.rank(now + PAUSE_S) > 0  # twice as long now
    assert breaker.rank(now + 2 * PAUSE_S) == 0
    breaker.taken()
    breaker.succeeded(now + 2 * PAUSE_S)
    assert breaker.state == CLOSED and breaker.cause == ""


@pytest.mark.parametrize(
    ("kind", "state"), [("connect", OPEN), ("dropped", AVOIDED), ("status 500", DOUBTED), ("malformed", CLOSED)]
)
def test_what_the_trial_meets_counts_and_not_what_was_before(kind: str, state: int) -> None:
    breaker, now = failing("connect"), LONG_AGO + PAUSE_S
    breaker.taken()
    breaker.failed(kind, kind, now)
    assert breaker.state == state and breaker.cause == ("" if state == CLOSED else kind)


def test_an_endpoint_that_has_too_much_to_do_can_be_reached_again() -> None:
    breaker = failing("connect")
    breaker.taken()
    breaker.limited(LONG_AGO + 20.0)
    assert breaker.state == CLOSED and breaker.rank(LONG_AGO + 10.0) == 1


def test_a_trial_is_over_with_its_first_token_however_long_it_goes_on() -> None:
    breaker, now = failing("connect"), LONG_AGO + PAUSE_S
    breaker.taken()
    breaker.succeeded(now)
    assert breaker.failed("connect", "connect: refused", now + 60.0) == CLOSED


def test_pauses_have_an_end() -> None:
    breaker = failing("connect", 40)
    assert breaker.until <= LONG_AGO + MAX_PAUSE_S


def test_a_pause_is_no_longer_than_whoever_waits_has_time_for() -> None:
    breaker = CircuitBreaker(0.5)
    for _ in range(10):
        breaker.failed("connect", "connect: refused", LONG_AGO)
    assert breaker.until == LONG_AGO + 0.5


def test_load_asks_others_first_and_keeps_nobody_away() -> None:
    breaker = CircuitBreaker()
    breaker.limited(LONG_AGO + 20.0)
    breaker.limited(LONG_AGO + 5.0)  # another request's word takes nothing back
    assert breaker.rank(LONG_AGO + 19.0) == 1 and breaker.rank(LONG_AGO + 20.0) == 0
    assert breaker.usable(LONG_AGO, patient=False)
    assert breaker.rank(LONG_AGO) < failing("status 500").rank(LONG_AGO)


@pytest.mark.parametrize(
    ("retry_after", "ms", "expected"),
    [
        ("17", "", 17.0),
        ("0.5", "", 0.5),
        ("2", "250", 0.25),
        ("", "40", 0.04),
        ("", "", DEFAULT_S),
        ("soon", "", DEFAULT_S),
        ("-3", "", DEFAULT_S),
        ("nan", "inf", DEFAULT_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "", 0.0),
        ("Fri, 31 Feb 2099 00:00:00 GMT", "", DEFAULT_S),
    ],
)
def test_retry_after_is_read_in_each_form(retry_after: str, ms: str, expected: float) -> None:
    assert wait_s(retry_after, ms) == pytest.approx(expected)


def test_a_date_to_come_is_waited_for() -> None:
    assert wait_s("Wed, 21 Oct 2099 07:28:00 GMT", "") > 1e6


def test_statuses_tell_refusals_load_and_failures_apart() -> None:
    assert all(map(is_refusal, (400, 401, 403, 404, 413, 415, 422, 501, 505)))
    assert not any(map(is_refusal, (302, 408, 429, 500, 502, 503, 504, 529)))
    assert is_load(429, "") and is_load(529, "") and is_load(503, "3")
    assert not is_load(503, "") and not is_load(500, "3")
