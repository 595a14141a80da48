"""Which counts are believed, and what stands in for the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.upstream.token_counts import TokenCounter
from flyball.records import Message
from running_gateway import release
from upstream_behaviours import ENDED, TEXT, WORDS, answer, event

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Where is my parcel?"}]}
TEXT_TOKENS = 13


def heard(*events: Any) -> AnswerContent:
    tally = AnswerContent("shop")
    for item in events:
        tally.event(b"data: " + json.dumps(item).encode(), wants_usage=True)
    return tally


def whole(body: Any) -> AnswerContent:
    tally = AnswerContent("shop")
    tally.whole(json.dumps(body).encode())
    return tally


def settled(
    tally: AnswerContent, reckoner: TokenCounter | None = None, body: Any = None, **options: Any
) -> tuple[int, int]:
    given = {"model": "m", "release": None, "embedding": False, "asked": False} | options
    (reckoner or TokenCounter()).settle(tally, BODY if body is None else body, **given)
    return tally.prompt_tokens, tally.completion_tokens


def test_what_a_server_counts_is_believed() -> None:
    tally = whole(answer(TEXT, {"prompt_tokens": 7, "completion_tokens": 31}))
    assert settled(tally) == (7, 31) and not tally.estimated


def test_events_are_counted_as_tokens_where_that_agrees_with_their_text() -> None:
    assert settled(heard(*map(event, WORDS)))[1] == len(WORDS), "a word each, which is a token"
    assert settled(heard(event(TEXT), event(TEXT)))[1] == pytest.approx(2 * TEXT_TOKENS, rel=0.2), "many in one"
    assert settled(heard(*map(event, TEXT)))[1] == pytest.approx(TEXT_TOKENS, rel=0.2), "or none"


def test_a_count_from_before_the_end_is_a_lower_bound() -> None:
    early = event("", {"prompt_tokens": 7, "completion_tokens": 1})
    assert settled(heard(early, *map(event, WORDS)))[0] == 7
    assert settled(heard(early, *map(event, WORDS)))[1] == len(WORDS)
    far = event("Hello", {"prompt_tokens": 7, "completion_tokens": 500})
    assert settled(heard(far, event(" you"))) == (7, 500)


def test_nothing_is_charged_for_what_no_server_read_or_said() -> None:
    assert settled(AnswerContent("shop")) == (0, 0)
    assert settled(heard({"error": {"message": "no"}})) == (0, 0)
    prompt, completion = settled(AnswerContent("shop"), asked=True)
    assert prompt == pytest.approx(9, abs=2) and completion == 0, "a client that left before the first word"


def test_a_count_stays_where_nothing_was_said() -> None:
    tally = whole(answer(None, {"prompt_tokens": 7, "completion_tokens": 0}))
    assert settled(tally) == (7, 0) and not tally.estimated


def test_a_releases_own_texts_are_part_of_the_prompt() -> None:
    plain = settled(whole(answer(TEXT)))[0]
    own = release(system_prompt=TEXT, examples=(Message(role="user", content=TEXT),))
    assert settled(whole(answer(TEXT)), release=own)[0] == pytest.approx(plain + 2 * (TEXT_TOKENS + 4), abs=4)


def test_speech_is_counted_by_its_length() -> None:
    audio = {"content": None, "audio": {"id": "a", "data": "A" * 640_000, "transcript": "Hello."}}
    body = {**BODY, "audio": {"voice": "ash", "format": "wav"}}
    assert settled(whole(answer(audio)), body=body)[1] == pytest.approx(200, rel=0.2), "ten seconds"


def test_an_answer_without_choices_is_counted_by_its_texts() -> None:
    for body in ({"message": {"content": TEXT}}, {"response": TEXT}, [TEXT], TEXT):
        assert settled(whole(body))[1] == pytest.approx(TEXT_TOKENS, rel=0.2)


def test_embeddings_have_no_completion() -> None:
    vectors = {"data": [{"embedding": [0.5]}]}
    body = {"input": ["one two three", "four"]}
    assert settled(whole(vectors), body=body, embedding=True) == (pytest.approx(4, abs=1), 0)
    tally = whole({**vectors, "usage": {"total_tokens": 5}})
    assert settled(tally, body=body, embedding=True) == (5, 0) and not tally.estimated


def test_answers_with_counts_teach_and_those_that_hide_something_do_not() -> None:
    reckoner = TokenCounter()
    usage = {"prompt_tokens": 9, "completion_tokens": 2 * TEXT_TOKENS}
    hidden: list[Any] = [
        answer(TEXT, {**usage, "total_tokens": 900}),
        answer(TEXT, {**usage, "completion_tokens_details": {"reasoning_tokens": 7}}),
        answer({"content": TEXT, "reasoning": "hm"}, usage),
    ]
    for body in hidden:
        settled(whole(body), reckoner)
    assert settled(whole(answer(TEXT)), reckoner)[1] == pytest.approx(TEXT_TOKENS, rel=0.2)
    for _ in range(4):
        settled(whole(answer(TEXT, usage)), reckoner)
    assert settled(whole(answer(TEXT)), reckoner)[1] == pytest.approx(2 * TEXT_TOKENS, rel=0.1)
    assert settled(heard(event(TEXT), ENDED), reckoner)[1] == pytest.approx(2 * TEXT_TOKENS, rel=0.1)


def test_cached_and_reasoning_tokens_are_told_under_every_name() -> None:
    for usage in (
        {"prompt_tokens": 9, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 9, "completion_tokens": 9, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
        {"input_tokens": 5, "output_tokens": 9, "cache_read_input_tokens": 4},
    ):
        tally = whole(answer(TEXT, usage))
        assert (tally.prompt_tokens, tally.cached_tokens) == (9, 4)
    for more in ({"completion_tokens_details": {"reasoning_tokens": 3}}, {"reasoning_tokens": 3}):
        tally = whole(answer(TEXT, {"prompt_tokens": 9, "completion_tokens": 9, **more}))
        assert (tally.completion_tokens, tally.reasoning_tokens) == (9, 3)
