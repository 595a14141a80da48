"""Events that follow a learned pattern come out, and count, exactly as if each had been parsed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.streams import Tally

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
PIECES = st.one_of(st.text(max_size=8), st.sampled_from(['"', "\\", "\n", '","content":"', "ü", "", '"}}]', "engine"]))


def event(text: str | None, *, spaced: bool, model_last: bool, **choice: Any) -> bytes:
    body: dict[str, Any] = {**HEAD, "model": "engine"}
    delta = {} if text is None else {"content": text}
    body["choices"] = [{"index": 0, "delta": delta, "finish_reason": None, **choice}]
    if model_last:
        body["model"] = body.pop("model")
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(body, separators=separators, ensure_ascii=len(text or "") % 2 == 0).encode()


def parsed_each(events: list[bytes]) -> tuple[list[bytes | None], Tally]:
    """The same events with nothing learned."""
    tally, out = Tally("shop"), []
    for item in events:
        tally.pattern = None
        out.append(tally.event(item, wants_usage=False))
    return out, tally


@given(texts=st.lists(PIECES, min_size=1, max_size=12), spaced=st.booleans(), model_last=st.booleans())
def test_learned_events_are_the_same_as_parsed_ones(texts: list[str], spaced: bool, model_last: bool) -> None:
    events = [event(text, spaced=spaced, model_last=model_last) for text in texts]
    events.append(event(None, spaced=spaced, model_last=model_last, finish_reason="stop"))
    expected, slow = parsed_each(events)
    tally = Tally("shop")
    assert [tally.event(item, wants_usage=False) for item in events] == expected
    assert (tally.answer, tally.deltas, tally.finish_reason) == (slow.answer, slow.deltas, slow.finish_reason)
    assert tally.answer == "".join(texts)


def test_a_pattern_is_used_at_all() -> None:
    tally = Tally("shop")
    first, second = (event(text, spaced=False, model_last=True) for text in ("one", "two"))
    assert tally.pattern is None
    tally.event(first, wants_usage=False)
    assert tally.pattern is not None and tally.pattern.text(second) == b"two"
    assert tally.event(second, wants_usage=False) == second.replace(b'"engine"', b'"shop"')


def test_logprobs_and_other_choices_are_parsed_each() -> None:
    tally = Tally("shop")
    tally.event(event("a", spaced=False, model_last=False, logprobs={"content": [{"token": "a"}]}), wants_usage=False)
    tally.event(event("b", spaced=False, model_last=False, index=1), wants_usage=False)
    assert tally.pattern is None
    assert tally.texts == {0: ["a"], 1: ["b"]}
