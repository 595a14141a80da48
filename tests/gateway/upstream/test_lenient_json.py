"""JSON of other shapes is read as far as it can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.request_parsing import parsed
from flyball.gateway.upstream.chunks import decoded
from flyball.gateway.upstream.lenient_json import (
    all_valid,
    nests_deeper,
    number,
    text_of,
    texts_in,
    valid,
    without_bytes,
)
from flyball.gateway.upstream.sse import AnswerContent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["choices", "message", "delta", "content", "text", "type", "tool_calls", "function", "arguments", "index", "id",
         "usage", "prompt_tokens", "total_tokens", "completion_tokens_details", "error", "model", "finish_reason",
         "function_call", "audio", "data", "refusal", "reasoning", "name", "thinking", "images", "value"]
    ), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(document=JSON, streamed=st.booleans())
def test_no_json_breaks_the_gateway_and_none_is_refused(document: Any, streamed: bool) -> None:
    body = json.dumps(document).encode()
    tally = AnswerContent("shop")
    if streamed:
        tally.event(b"data: " + body, wants_usage=True)
    else:
        assert tally.whole(body) is not None
    assert isinstance(tally.answer, str) and tally.completion_tokens >= 0 and tally.prompt_tokens >= 0
    json.dumps(tally.choices, ensure_ascii=False).encode()
    assert isinstance("".join(tally.spoken()), str)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"data: {}", b"\xff\xfe", b'{"a": }', b"[" * 100_000, b"nul"])
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert decoded(body) is None and AnswerContent("shop").whole(body) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((7, 7), (7.0, 7), ("7", 7), ("7.0", 7), (None, None), (True, None), ("seven", None), ([], None)),
        *((float("nan"), None), (float("inf"), None), ("inf", None), ("1e400", None)),
    ],
)
def test_numbers_are_read_however_they_are_written(value: Any, expected: int | None) -> None:
    assert number(value) == expected


def test_content_is_told_from_thoughts_and_from_parts_of_other_kinds() -> None:
    parts = [
        "a",
        {"type": "text", "text": "b"},
        {"text": {"value": "c"}},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "refusal", "refusal": "d"},
        {"type": "tool_use", "id": 1},
        7,
    ]
    assert text_of(parts) == ("abcd", "hm", [{"type": "tool_use", "id": 1}, 7])
    assert text_of(None) == (None, None, []) and text_of("x") == ("x", None, [])


def test_halves_of_a_pair_come_together_and_the_rest_is_replaced() -> None:
    assert valid("a\ud83d\ude00b") == "a😀b" and valid("a\ud800b") == "a\ufffdb" and valid("ä") == "ä"
    assert all_valid({"a": ["\ud83d\ude00", 1, None]}) == {"a": ["😀", 1, None]}


def test_bytes_are_told_by_their_length_and_texts_are_kept() -> None:
    text = "a long text with blanks " * 500
    document = {"a": ["A" * 5000, text], "b": "data:image/png;base64," + "A" * 5000, "c": "short", "d": 7}
    assert without_bytes(document) == {
        "a": ["<5000 characters of base64>", text],
        "b": "<5022 characters of base64>",
        "c": "short",
        "d": 7,
    }


def nested(levels: int) -> str:
    return "[" * levels + '"a"' + "]" * levels


@pytest.mark.parametrize("levels", [60, 300, 900])
@pytest.mark.parametrize("place", ['{"x": %s}', '{"choices": [{"message": {"images": %s, "audio": {"id": %s}}}]}'])
def test_an_answer_of_any_depth_is_recorded_as_far_as_anybody_reads(levels: int, place: str) -> None:
    tally = AnswerContent("shop")
    assert tally.whole(place.replace("%s", nested(levels)).encode()) is not None
    assert (json.dumps(tally.choices).count("[") < 300) and ("nested too deeply" in str(tally.choices)) == (levels > 60)
    assert tally.spoken() == (["a"] if levels == 60 and "choices" not in place else [])


def test_levels_are_counted_and_brackets_inside_texts_are_not() -> None:
    for raw, deep in ((nested(5), False), (nested(6), True), ('["[[[[[[[[", [1], {"a": [2]}]', False)):
        assert nests_deeper(json.loads(raw), raw.encode(), 5) == deep
    with pytest.raises(HttpRefusal, match="levels deep"):
        parsed(b'{"messages": %b}' % nested(200).encode())
    broad = json.dumps([[index] for index in range(100)])
    assert not nests_deeper(json.loads(broad), broad.encode(), 5)


def test_texts_of_an_unknown_shape_leave_names_out() -> None:
    assert texts_in({"id": "x", "model": "m", "message": {"role": "r", "content": "a"}, "more": ["b", 7]}) == ["a", "b"]
