"""Pages that grow with every change stay short: history belongs to git."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def words(page: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in (ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("page", "most"),
    [("BENCHMARKS.md", 1_500), ("CHANGELOG.md", 1_500), ("CONTRIBUTING.md", 600), ("README.md", 900)],
)
def test_a_page_has_at_most_so_many_words(page: str, most: int) -> None:
    assert words(page) <= most, f"{page} has {words(page)} words: keep the last figures and drop what they replace"
