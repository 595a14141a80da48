"""Words of any script: whole where blanks part them, n-grams of characters where nothing does."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.inference.words import units_of, words_of, written_words
from pattern_attacks import SIZE, grows_too_fast


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where's my <ORDER>, OK?", ["where's", "my", "<order>", "ok"]),
        ("Größe der STRASSE", ["grösse", "der", "strasse"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("كَتَبَ الرسالة", ["كَتَبَ", "الرسالة"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("我的卡", ["我", "的", "卡"]),
        ("カード紛失", ["カー", "ード", "紛", "失"]),
        ("ไทย", ["ไท", "ทย"]),
        ("iPhone充電", ["iphone", "充", "電"]),
        ("か", ["か"]),
    ],
)
def test_words_in_many_scripts(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert words_of(unicodedata.normalize("NFD", text)) == words


def test_units_of_scripts_without_blanks_are_characters() -> None:
    assert units_of("カード, lost card 我") == [*"カード", "lost", "card", "我"]
    assert units_of("plain words here") == written_words("plain words here")


@given(st.text(alphabet="abc '’é я あ我ก็हि<>_1\u0301\u200d"))
def test_no_letter_is_lost_or_added(text: str) -> None:
    letters = "".join(written_words(text))
    assert "".join(units_of(text)) == letters
    assert {*"".join(words_of(text))} == {*letters}


@pytest.mark.parametrize("piece", ["a'", "'", "<a", "我", "ก", "ก็", "\u0301", "a\u0301", "かA", "<我"])
def test_words_take_linear_time(piece: str) -> None:
    for function in (words_of, units_of):
        assert not grows_too_fast(function, (piece * SIZE)[:SIZE])
