"""What of a request is prompt, and the rules for what is no text."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.cost.prompt_estimate import AUDIO_PER_S, MESSAGE, PICTURE, PICTURE_LOW, prompt_parts

BASE64 = "A" * 1_000_000


def tokens(content: Any) -> int:
    """Of one message beside its texts."""
    found = list(prompt_parts({"messages": [{"role": "user", "content": content}]}))
    assert all(len(text) < 1000 for text, _ in found), "base64 is no text"
    return sum(number for _, number in found) - MESSAGE


def picture(**more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}", **more}}


def test_a_picture_counts_by_its_detail_and_not_by_its_bytes() -> None:
    assert tokens([picture()]) == tokens([picture(detail="high")]) == PICTURE
    assert tokens([picture(detail="low")]) == PICTURE_LOW
    assert tokens([{"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]) == PICTURE_LOW
    assert tokens([{"type": "image_url", "image_url": "https://x/y.png"}]) == PICTURE


@pytest.mark.parametrize(("form", "seconds"), [("wav", 16), ("mp3", 46), ("flac", 31), (None, 46), (7, 46)])
def test_audio_counts_by_its_length(form: Any, seconds: int) -> None:
    part = {"type": "input_audio", "input_audio": {"data": BASE64, "format": form}}
    assert tokens([part]) == pytest.approx(seconds * AUDIO_PER_S, rel=0.1)


def test_files_and_videos_and_what_is_behind_an_address_have_rules_too() -> None:
    assert 10_000 < tokens([{"type": "file", "file": {"file_data": BASE64}}]) < 40_000
    for part in ({"type": "file", "file": {"file_id": "f"}}, {"type": "video_url"}, {"type": "audio_url"}):
        assert 100 < tokens([part]) < 20_000


def test_all_texts_that_a_model_reads_are_there() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, "plain", {"text": "untyped"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]},
            {"role": "tool", "content": "found", "tool_call_id": "a"},
            "not a message",
        ],
        "tools": [{"type": "function", "function": {"name": "find", "description": "Finds."}}],
        "response_format": {"type": "json_object"},
        "temperature": 1,
    }
    texts = " ".join(text for text, _ in prompt_parts(body))
    for part in ("be kind", "look", "plain", "untyped", '"find"', "found", "Finds.", "json_object"):
        assert part in texts
    assert "temperature" not in texts and "not a message" not in texts


@pytest.mark.parametrize(
    ("value", "expected"),
    [("text", ("text", 0)), ([1, 2, 3], ("", 3)), (["one", "two"], ("onetwo", 0)), ([[1, 2], [3]], ("", 3))],
)
@pytest.mark.parametrize("name", ["prompt", "input"])
def test_prompts_are_texts_or_tokens_or_many_of_either(name: str, value: Any, expected: tuple[str, int]) -> None:
    found = list(prompt_parts({name: value}))
    assert ("".join(text for text, _ in found), sum(number for _, number in found)) == expected


@pytest.mark.parametrize("messages", [None, 7, "text", [None], [[]], [{"content": 7}], [{"content": [None, 7, []]}]])
def test_anything_else_counts_nothing_and_breaks_nothing(messages: Any) -> None:
    assert all(not text for text, _ in prompt_parts({"messages": messages}))
