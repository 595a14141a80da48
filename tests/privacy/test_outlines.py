"""What the outline rules out cannot be there: redaction finds the same with and without it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flyball.privacy import redaction
from flyball.privacy.recognisers import PATTERN_RECOGNISERS, Outline, Recogniser
from flyball.privacy.redaction import redact

OUTLINED = [recogniser for recogniser in PATTERN_RECOGNISERS if recogniser.possible is not None]
NAMES = [f"{number} {recogniser.type}" for number, recogniser in enumerate(OUTLINED)]
PIECES = st.sampled_from(
    [*"0123456789", *"ABKSİıſ\u212aé²٣\ud800", *" -._:#+()/,\n\u00a0", "DE89", "ord", "PO-", "order no ", "::", "4111 "]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def core(recogniser: Recogniser) -> re.Pattern[str]:
    """The pattern with its surroundings left free, so that examples of it are found quickly."""
    found = recogniser.pattern.pattern
    for assertion in (r"(?<![^\W_])", r"(?![^\W_])", r"(?<![\w.:])", r"(?![\w:]|\.[0-9])", r"(?<![\w+])", r"(?!\w)"):
        found = found.replace(assertion, "")
    for assertion in (r"(?<![\w&#])", r"(?<![\w.,:#/-])", r"(?![\w:%]|[.,-]?[0-9])", r"\b"):
        found = found.replace(assertion, "")
    return re.compile(found, re.IGNORECASE)


@pytest.mark.parametrize("recogniser", OUTLINED, ids=NAMES)
def test_whatever_a_pattern_matches_is_possible_by_its_outline(recogniser: Recogniser) -> None:
    @given(st.from_regex(core(recogniser), fullmatch=True), TEXTS, TEXTS)
    def holds(found: str, before: str, after: str) -> None:
        assert recogniser.possible is not None
        if recogniser.type != "IP" or re.search("[0-9]", found):  # an address of letters alone is looked for in no text
            assert recogniser.possible(Outline(before + found + after))

    holds()


@given(TEXTS)
@example("DſK0")
@example("\u212aE89 3704 0044 0532 0130 00")
@example("card 4111-1111-1111-1111² and ٣4111")
@example("fe80::1, 1.2.3.4 and 555-1234 ſ-123")
def test_redaction_finds_the_same_as_with_every_pattern_run(text: str) -> None:
    quick = redact(text, "default")
    looked_for = redaction._possible
    redaction._possible = lambda recognisers, text: [
        one for one in recognisers if one.possible is None or re.search("[0-9]", text)
    ]
    try:
        slow = redact(text, "default")
    finally:
        redaction._possible = looked_for
    assert (quick.text, quick.counts) == (slow.text, slow.counts)


def test_a_text_full_of_short_numbers_is_looked_through_by_no_pattern() -> None:
    outline = Outline(" ".join(f"parcel {number:03d} is on its way" for number in range(50)))
    assert not [one.type for one in OUTLINED if one.possible is not None and one.possible(outline)]
