"""Whatever looks at texts from outside takes time that grows with their length, not with its square."""

from __future__ import annotations

import re

import pytest

from flyball.privacy.redaction import redact
from pattern_attacks import SIZE, attacks, grows_too_fast, patterns_of

PACKAGES = ("privacy", "inference", "cost", "data", "monitoring", "gateway", "evaluation", "improvement", "compliance")
OF_OUR_OWN: frozenset[str] = frozenset()
"""Patterns that see nothing from outside."""
PATTERNS = {name: pattern for name, pattern in patterns_of(*PACKAGES) if name not in OF_OUR_OWN}


def search_all(pattern: re.Pattern[str]):
    return lambda text: sum(1 for _ in pattern.finditer(text))


@pytest.mark.parametrize("name", PATTERNS)
def test_no_text_makes_a_pattern_take_more_than_linear_time(name: str) -> None:
    look = search_all(PATTERNS[name])
    for text in attacks(PATTERNS[name]):
        assert not grows_too_fast(look, text)


@pytest.mark.parametrize("expression", [r"a\s*[:,]?\s*b", r"<!--.*?-->"])
def test_the_attacks_find_what_is_quadratic(expression: str) -> None:
    pattern = re.compile(expression, re.DOTALL)
    assert any(grows_too_fast(search_all(pattern), text) for text in attacks(pattern))


PIECES = [
    *("password is\n", "pin is ", "token: 1", "ORD-", "PO-", "signed-", "regards\n", "eyJaaaaaaaa-", "name: ", "Mr "),
    *("-----BEGIN PRIVATE KEY-----", "a@a.", "a@", "+1-", "1.2.3.4:", "i'm Aa ", "order number ", "my name is ", "#"),
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("pump", ["", "\n", " ", "\t", "-", "1", "A", "a", ":"])
def test_redaction_takes_linear_time(piece: str, pump: str) -> None:
    for text in (
        piece + pump * SIZE,
        (piece + pump * 7) * (SIZE // (len(piece) + 7)),
        piece * 3 + (pump + "\n") * SIZE,
    ):
        for end in ("", "@x"):
            assert not grows_too_fast(lambda text: redact(text, "default"), text[:SIZE] + end)
