"""Counts that do not add up."""

from __future__ import annotations

import pytest

from flyball.cost.token_usage import MAX_TOKENS, bounded, reconciled


@pytest.mark.parametrize(
    ("prompt", "completion", "total", "cached", "reasoning", "expected"),
    [
        (9, 4, 13, 0, 0, (9, 4)),
        (9, 4, 13, 5, 2, (9, 4)),
        (9, 4, 0, 0, 0, (9, 4)),
        (9, 4, 7, 0, 0, (9, 4)),  # a total below its parts
        (9, 4, 313, 0, 300, (9, 304)),  # xAI
        (9, 4, 313, 0, 0, (9, 304)),  # Google
        (9, 4, 0, 0, 300, (9, 304)),  # no total
        (9, 400, 409, 0, 300, (9, 400)),  # OpenAI
        (9, 4, 413, 400, 0, (409, 4)),  # a cache beside the prompt
        (0, 4, 13, 0, 0, (9, 4)),
        (9, 0, 13, 0, 0, (9, 4)),
        (0, 0, 13, 0, 0, (0, 0)),  # for the caller to split
        (5, 0, 5, 0, 0, (5, 0)),  # embeddings
    ],
)
def test_what_a_total_has_beyond_its_parts_belongs_to_one_of_them(
    prompt: int, completion: int, total: int, cached: int, reasoning: int, expected: tuple[int, int]
) -> None:
    assert reconciled(prompt, completion, total, cached=cached, reasoning=reasoning) == expected


def test_a_count_is_neither_below_zero_nor_beyond_all_bounds() -> None:
    assert [bounded(count) for count in (None, -1, 0, 7, 10**30)] == [0, 0, 0, 7, MAX_TOKENS]
