"""Whoever is not found is looked for under names nearby."""

from __future__ import annotations

from flyball.compliance.name_suggestions import near_names, same_otherwise_spelt, spelt_otherwise

KNOWN = ["C0042", "C0043", "ann.lee@example.com", "bob", "77"]


def test_the_same_name_in_another_case_or_with_other_zeros_comes_first() -> None:
    assert near_names("c42", KNOWN)[0] == "C0042"
    assert near_names("Ann.Lee@example.com", KNOWN) == ["ann.lee@example.com"]
    assert near_names("zebra", KNOWN) == []


def test_spellings_to_look_up_are_each_given_once() -> None:
    found = list(spelt_otherwise("c0042"))
    assert "C0042" in found and len(set(found)) == len(found) and "c0042" not in found
    assert "77" in list(spelt_otherwise("user/77"))


def test_names_that_differ_in_spelling_alone_are_told_apart_from_names_nearby() -> None:
    known = ["7", "07", "\uff17", "7.", "77", "7a", "A0EE-11", "a0ee-11", "a\u00adb", "ab", "---"]
    assert same_otherwise_spelt("7", known) == ["07", "7.", "\uff17"]
    assert same_otherwise_spelt("a0ee-11", known) == ["A0EE-11"]
    assert same_otherwise_spelt("ab", known) == ["a\u00adb"]
    assert same_otherwise_spelt("77", known) == same_otherwise_spelt("...", known) == []
