"""What is said beside the text is gathered whole, however servers number and repeat its pieces."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.gateway.upstream.choice_content import ChoiceContent
from flyball.gateway.upstream.chunks import Function, Message, ToolCall

BERN, ROME = '{"city": "Bern"}', '{"city": "Rome"}'
BOTH = [{"id": "a", "name": "weather", "arguments": BERN}, {"id": "b", "name": "weather", "arguments": ROME}]
NAMELESS = [{**call, "id": None} for call in BOTH]
Piece = tuple[int | None, str | None, str | None, str | None]


def gathered(*events: list[Piece]) -> list[dict[str, Any]]:
    """The calls of events, each with pieces of (index, id, name, arguments)."""
    said = ChoiceContent()
    for pieces in events:
        calls = [
            ToolCall(index=index, id=name, function=Function(name=function, arguments=arguments))
            for index, name, function, arguments in pieces
        ]
        said.take(Message(tool_calls=calls))
    return said.document("")["tool_calls"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [
                [(0, "a", "weather", "")],
                [(0, None, None, BERN[:5])],
                [(0, None, None, BERN[5:])],
                [(1, "b", "weather", "")],
                [(1, None, None, ROME)],
            ],
            BOTH,
            id="as OpenAI streams",
        ),
        pytest.param(
            [
                [(0, "a", "weather", ""), (1, "b", "weather", "")],
                [(1, None, None, ROME[:3]), (0, None, None, BERN[:3])],
                [(0, None, None, BERN[3:]), (1, None, None, ROME[3:])],
            ],
            BOTH,
            id="interleaved",
        ),
        pytest.param([[(0, "a", "weather", BERN)], [(0, "b", "weather", ROME)]], BOTH, id="one index, as Ollama"),
        pytest.param(
            [
                [(0, "a", "weather", "")],
                [(0, None, None, BERN)],
                [(0, "b", "weather", "")],
                [(0, None, None, ROME[:4])],
                [(0, None, None, ROME[4:])],
            ],
            BOTH,
            id="one index, in pieces",
        ),
        pytest.param([[(None, "a", "weather", BERN)], [(None, "b", "weather", ROME)]], BOTH, id="no index"),
        pytest.param([[(None, "a", "weather", BERN), (None, "b", "weather", ROME)]], BOTH, id="no index, together"),
        pytest.param(
            [
                [(None, "a", "weather", ""), (None, "b", "weather", "")],
                [(None, None, None, BERN), (None, None, None, ROME)],
            ],
            BOTH,
            id="no index, together in pieces",
        ),
        pytest.param([[(0, "", "weather", BERN)], [(0, "", "weather", ROME)]], NAMELESS, id="empty ids, as Gemini"),
        pytest.param(
            [[(None, None, "weather", BERN), (None, None, "weather", ROME)]], NAMELESS, id="neither, together"
        ),
        pytest.param([[(None, None, "weather", BERN)], [(None, None, "weather", ROME)]], NAMELESS, id="neither"),
        pytest.param(
            [[(0, "a", "weather", BERN), (0, "a", "weather", ROME)]], [BOTH[0], {**BOTH[1], "id": "a"}], id="id twice"
        ),
        pytest.param(
            [[(0, "a", "weather", BERN[:4])], [(0, "a", "weather", BERN[4:])]],
            BOTH[:1],
            id="id and name with each piece",
        ),
        pytest.param(
            [[(0, "a", "weather", BERN[:4])], [(0, "x", None, BERN[4:9])], [(0, "y", None, BERN[9:])]],
            BOTH[:1],
            id="a new id with each piece",
        ),
        pytest.param([[(0, None, "weather", "")], [(0, "a", None, BERN)]], BOTH[:1], id="an id later on"),
        pytest.param(
            [[(0, "a", "ping", "")], [(0, "b", "pong", "")]],
            [{"id": "a", "name": "ping", "arguments": ""}, {"id": "b", "name": "pong", "arguments": ""}],
            id="without arguments",
        ),
    ],
)
def test_parallel_calls_stay_apart_and_pieces_of_one_come_together(
    events: list[list[Piece]], expected: list[dict[str, Any]]
) -> None:
    assert gathered(*events) == expected


def test_everything_that_is_said_is_in_the_document_and_nothing_that_is_not() -> None:
    said = ChoiceContent()
    assert not said.take(Message(content="the text is kept elsewhere"))
    assert said.document("a text") == {"content": "a text", "tool_calls": []}
    for message in (
        Message(reasoning_content="I thi", reasoning="I thi"),
        Message(reasoning="nk."),
        Message(refusal="I will"),
        Message(refusal=" not."),
        Message(function_call=Function(name="find", arguments="")),
        Message(function_call=Function(arguments="{}")),
        Message(audio={"id": "au", "transcript": "Hel", "data": "A" * 10}),
        Message(audio={"transcript": "lo", "data": "A" * 5, "expires_at": 7}),
        Message(images=[{"image_url": {"url": "data:image/png;base64," + "A" * 5000}}]),
        Message(others=[{"type": "hologram"}]),
    ):
        assert said.take(message)
    picture = {"image_url": {"url": "<5022 characters of base64>"}}
    assert said.document("") == {
        "content": "",
        "tool_calls": [],
        "reasoning": "I think.",
        "refusal": "I will not.",
        "function_call": {"name": "find", "arguments": "{}"},
        "audio": {"id": "au", "expires_at": 7, "transcript": "Hello", "base64_size": 15},
        "parts": [picture, {"type": "hologram"}],
    }
    assert sorted(said.texts()) == sorted(["I thi", "nk.", "I will", " not.", "Hel", "lo", "find", "{}"])


def test_arguments_that_never_close_their_brackets_are_incomplete() -> None:
    called = gathered([(0, "a", "weather", "[" * 20_000)], [(0, "b", "weather", BERN)])
    assert called[0]["arguments"].startswith("[" * 20_000)


@pytest.mark.parametrize("audio", [7, "loud", [], {"transcript": 7, "data": 7}])
def test_audio_of_another_shape_breaks_nothing(audio: Any) -> None:
    said = ChoiceContent()
    said.take(Message(audio=audio))
    assert said.document("")["content"] == ""
