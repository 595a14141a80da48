"""An answer is the label that it equals, else the one label that it normalises to, and never one of two."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.inference.labels import KnownLabels, homonyms, label_text, normalised, one_form

TRICKY = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["US", "us", "Us", "yes", "yes!", '"yes"', "Polish", "polish", "ß", "SS", "ss", "café", "1", "1.0"]
    ),
)


@given(labels=st.sets(TRICKY, min_size=1, max_size=6))
def test_every_label_is_found_by_its_own_text_whatever_the_others_are(labels: set[str]) -> None:
    known = KnownLabels(labels)
    assert all(known.find(label) == one_form(label) for label in labels)


@given(text=TRICKY)
def test_the_one_form_and_the_normal_form_stay_as_they_are(text: str) -> None:
    assert one_form(one_form(text)) == one_form(text)
    assert normalised(one_form(text)) == normalised(text)


def test_an_answer_in_another_unicode_form_or_dressed_up_is_still_its_label() -> None:
    known = KnownLabels(["Rückgabe", "Café zu", "refund", "是"])
    assert known.find(unicodedata.normalize("NFD", "Rückgabe")) == "Rückgabe"
    assert known.find("  CAFE\u0301\u00a0ZU. ") == "Café zu"
    assert known.find("**Refund**!") == known.find("\u201crefund\u201d") == known.find("re\u200bfund") == "refund"
    assert known.find("是。") == "是"
    assert known.find("refunds") is None


def test_an_answer_that_two_labels_share_is_neither_unless_it_is_exactly_one() -> None:
    known = KnownLabels(["US", "us", "yes", "yes!", '"yes"'])
    assert [known.find(answer) for answer in ("US", "us", "yes!", '"yes"')] == ["US", "us", "yes!", '"yes"']
    assert known.find("Us") is None and known.find("Yes") is None


def test_homonyms_are_named_in_groups() -> None:
    labels = ["US", "us", "1", "1.0", "other", "❤", "❤\ufe0f", "10", "v1.0"]
    assert homonyms(labels) == [("1", "1.0"), ("US", "us"), ("❤", "❤\ufe0f")]


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (1.0, "1.0"), (True, "true"), ("a", "a")])
def test_numbers_and_truth_values_are_labels(value: object, text: str) -> None:
    assert label_text(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), [], {}])
def test_what_is_no_value_is_no_label(value: object) -> None:
    assert label_text(value) is None
