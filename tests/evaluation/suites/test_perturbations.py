"""Edits are seeded, change the text, and leave its meaning and its placeholders alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.suites.perturbations import EDITS, PLACEHOLDER, perturb

TEXT = "My name is <NAME> and order <ORDER> from 2024 never arrived."


@pytest.mark.parametrize("kind", list(EDITS))
def test_each_edit_changes_a_text_that_it_applies_to_and_the_same_seed_gives_the_same_edit(kind: str) -> None:
    edited = EDITS[kind](TEXT, random.Random(1))
    assert edited is not None and edited != TEXT
    assert edited == EDITS[kind](TEXT, random.Random(1))
    if kind not in ("names", "numbers"):
        assert PLACEHOLDER.findall(edited) == ["NAME", "ORDER"]


def test_edits_do_what_their_names_say() -> None:
    assert sorted(EDITS["typo"](TEXT, random.Random(3)) or "") == sorted(TEXT)
    assert EDITS["casing"]("Where IS my <ORDER>?", random.Random(1)) == "where is my <ORDER>?"
    assert EDITS["punctuation"]("Where is it?!", random.Random(1)) == "Where is it"
    assert "<NAME>" not in (EDITS["names"](TEXT, random.Random(1)) or "")
    assert EDITS["numbers"]("I paid 1250 twice", random.Random(1)) != "I paid 1250 twice"
    assert EDITS["numbers"]("no digits", random.Random(1)) is None


@given(st.text(min_size=1, max_size=80), st.integers(0, 1000))
def test_whatever_the_text_an_edit_is_a_change_or_nothing(text: str, seed: int) -> None:
    edited = perturb(text, f"seed-{seed}")
    assert edited is None or (edited[0] in EDITS and edited[1] != text and edited[1].strip())
    assert edited == perturb(text, f"seed-{seed}")
