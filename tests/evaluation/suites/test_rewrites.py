"""Edits for behaviour tests keep the meaning by construction: undone, they give the text they were made of."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.suites.lexicons import BY_LOCALE, cities
from flyball.evaluation.suites.rewrites import (
    CONTRACTIONS,
    EMOJI,
    HOMOGLYPHS,
    KEEPING,
    SPELLINGS,
    TURNING,
    WORDINGS,
)

TEXT = "I am in London, and I do not want the colour grey. Can you cancel order 4711 for <NAME>? I want to buy it."
WORDS = st.sampled_from([*TEXT.split(), "isn't", "it is", "Paris", "cheque", "color", "how do i", "a lot of", "don't"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def written_out(text: str) -> str:
    text = text.casefold()
    for long, short in CONTRACTIONS.items():
        text = text.replace(short, long)
    return text


def with_one_form(text: str, table: dict[str, str]) -> str:
    text = text.casefold()
    for old, new in table.items():
        text = re.sub(rf"\b{re.escape(old)}\b", new.casefold(), text)
    return text


def masked(text: str) -> str:
    for city in (*cities(), "<CITY>"):
        text = text.replace(city, "@")
    return text


UNDONE = {
    "contractions": written_out,
    "spelling": lambda text: with_one_form(text, SPELLINGS),
    "wording": lambda text: with_one_form(text, WORDINGS),
    "places": masked,
    "emoji": lambda text: text.strip(" " + "".join(EMOJI)),
    "homoglyphs": lambda text: text.translate({ord(other): latin for latin, other in HOMOGLYPHS.items()}),
}


@pytest.mark.parametrize("kind", UNDONE)
@given(text=TEXTS, seed=st.integers(0, 99))
def test_undone_an_edit_gives_the_text_that_it_was_made_of(kind: str, text: str, seed: int) -> None:
    edited = KEEPING[kind](text, random.Random(seed))
    assert edited is None or edited != text or kind == "wording"
    assert edited is None or UNDONE[kind](edited) == UNDONE[kind](text)


@pytest.mark.parametrize("kind", UNDONE)
def test_each_edit_applies_and_is_seeded(kind: str) -> None:
    edited = KEEPING[kind](TEXT, random.Random(1))
    assert edited not in (None, TEXT) and edited == KEEPING[kind](TEXT, random.Random(1))
    assert "<NAME>" in (edited or "")


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("The food is good.", "The food is not good."),
        ("The food is not good.", "The food is good."),
        ("Is it good?", None),
        ("Good food", None),
    ],
)
def test_negation_turns_statements_around_and_leaves_questions(text: str, turned: str | None) -> None:
    assert TURNING["negation"](text, random.Random(0)) == turned


def test_a_contraction_is_not_made_at_the_end_of_a_clause() -> None:
    assert KEEPING["contractions"]("Yes, it is.", random.Random(0)) is None
    assert KEEPING["contractions"]("I am here", random.Random(0)) == "I'm here"


def test_each_locale_has_every_list() -> None:
    assert len({tuple(lists) for lists in BY_LOCALE.values()}) == 1
    assert all(len(words) == len(set(words)) > 0 for lists in BY_LOCALE.values() for words in lists.values())
