"""Cleaning repairs what exports break, says so, and leaves sound text alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.data.cleaning import clean, repair_encoding
from flyball.data.config import CleanConfig
from flyball.data.sample import mojibake

DEFAULT = CleanConfig()


@pytest.mark.parametrize("text", ["café", "naïve Gonçalves", "it’s “quoted” – yes", "5 € for Łukasz", "日本語 ok", "ß"])
def test_text_read_as_windows_1252_is_repaired_even_when_it_happened_twice(text: str) -> None:
    broken = mojibake(text)
    assert broken != text
    assert repair_encoding(broken) == text
    assert repair_encoding(mojibake(broken)) == text


SOUND = [
    "plain",
    "café",
    "Ä Ö Ü",
    "€ 5 – “ok”",
    "Ã and Â alone",
    "1 < 2 and 3 > 2",
    "I <3 it",
    "<EMAIL> and <NAME>",
    "R&D",
]


@pytest.mark.parametrize("text", SOUND)
def test_sound_text_comes_back_as_it_was(text: str) -> None:
    assert clean(text, DEFAULT) == (text, ())


@pytest.mark.parametrize(
    ("dirty", "cleaned", "steps"),
    [
        ("<p>Hello <b>you</b></p>", "Hello you", ("markup", "whitespace")),
        ("a &lt; b &amp;amp; c", "a < b & c", ("markup",)),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold", ("markup", "whitespace")),
        ("<script>alert(1)</script>ok", "ok", ("markup", "whitespace")),
        ("nul\x00 and z\u200bero", "nul and zero", ("characters",)),
        ("  many   spaces\t\r\n\n\n lines ", "many spaces\nlines", ("whitespace",)),
        ("e\u0301", "é", ("encoding",)),
        ("lone \ud800 surrogate", "lone surrogate", ("characters", "whitespace")),
    ],
)
def test_each_step_repairs_and_names_itself(dirty: str, cleaned: str, steps: tuple[str, ...]) -> None:
    assert clean(dirty, DEFAULT) == (cleaned, steps)


@given(st.text() | st.text(alphabet="<>&;bpé Ãƒ©â€™altm#x26\n\t\x00"))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once, _ = clean(text, DEFAULT)
    assert clean(once, DEFAULT) == (once, ())


def test_steps_can_be_switched_off() -> None:
    off = CleanConfig(repair_encoding=False, strip_markup=False)
    text = mojibake("café") + " <b>"
    assert clean(text, off) == (text, ())
