"""The probability of an answer: the product of its tokens', or why there is none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from chat_server import chat_server
from flyball.errors import UpstreamError
from flyball.inference.answer_probability import NONE_GIVEN, answer_probability
from flyball.inference.completions import HttpCompleter

ASK = {"messages": [{"role": "user", "content": "hi"}]}


def tokens(*pairs: tuple[str, float]) -> dict[str, Any]:
    return {"content": [{"token": text, "bytes": list(text.encode()), "logprob": value} for text, value in pairs]}


def test_it_is_the_sum_of_the_tokens_of_the_text_without_the_one_that_ends_it() -> None:
    found, why = answer_probability(tokens((" card", -0.5), ("_lost", -0.25), ("", -3.0)), "card_lost")
    assert (found, why) == (-0.75, "")


@pytest.mark.parametrize(
    ("logprobs", "text", "count", "reason"),
    [
        (None, "card", 1, NONE_GIVEN),
        ({"content": None}, "card", 1, NONE_GIVEN),
        ({"content": []}, "card", 1, NONE_GIVEN),
        ({"tokens": ["card"], "token_logprobs": [-1.0]}, "card", 1, NONE_GIVEN),
        (tokens(("card", math.nan)), "card", 1, "a token's log-probability is nan"),
        (tokens(("card", 2.0)), "card", 1, "a token's log-probability is 2.0"),
        ({"content": [{"token": "card", "logprob": None}]}, "card", 1, "a token of the answer has no log-probability"),
        ({"content": ["card"]}, "card", 1, "a token of the answer has no log-probability"),
        ({"content": [{"token": "c", "bytes": [999], "logprob": -1}]}, "c", 1, "a token of the answer has no log-"),
        (tokens(("think", -1.0), ("card", -1.0)), "card", 2, "the tokens that the server lists are not those"),
        (tokens(("ca", -1.0)), "card", 2, "the tokens that the server lists are not those"),
        (tokens(("", -1.0)), "", 1, "an empty answer has no tokens"),
        (tokens(("\U0001f600", -2.2), ("", -7.3)), "\U0001f600", 4, "the server leaves out tokens that are parts"),
    ],
)
def test_where_it_cannot_be_told_the_reason_is(logprobs: Any, text: str, count: int, reason: str) -> None:
    found, why = answer_probability(logprobs, text, completion_tokens=count)
    assert found is None and why.startswith(reason)


def test_tokens_without_bytes_and_counts_with_or_without_the_end_are_read() -> None:
    plain = {"content": [{"token": "café", "logprob": -0.5}]}
    assert answer_probability(plain, "café", completion_tokens=2)[0] == -0.5  # the end was counted, and not listed
    assert answer_probability(plain, "café", completion_tokens=3)[0] is None


@pytest.mark.parametrize("status", [400, 403, 422, 500])
def test_a_server_that_refuses_probabilities_is_asked_without_from_then_on(status: int) -> None:
    with chat_server(lambda _, n: (status, "logprobs is not allowed for this model") if n == 1 else "yes") as server:
        completer = HttpCompleter(server.url, probabilities=True)
        answers = [completer.complete(ASK) for _ in range(2)]
        assert ["logprobs" in body for body in server.bodies] == [True, False, False]
    assert [answer.text for answer in answers] == ["yes", "yes"]
    assert all(answer.log_probability is None for answer in answers)
    assert all(f"refuses to give them ({status}" in answer.unknown for answer in answers)


def test_a_request_that_is_refused_either_way_fails_and_the_next_is_asked_for_probabilities_again() -> None:
    with chat_server(lambda _, n: (400, "too long") if n < 3 else "yes") as server:
        completer = HttpCompleter(server.url, probabilities=True)
        with pytest.raises(UpstreamError, match="too long"):
            completer.complete(ASK)
        assert completer.complete(ASK).unknown == NONE_GIVEN
        assert json.dumps(server.bodies[-1]).count("logprobs") == 2
