"""The bootstrap of macro F1: counts drawn for many items give the interval that rows give."""

from __future__ import annotations

import random

import pytest

from flyball.statistics.classification import (
    MOST_ROWS,
    gamma_weight,
    macro_f1_difference_replicates,
    macro_f1_replicates,
    percentile_interval,
)


def answers(n: int, labels: int, right: float, seed: int = 1) -> list[tuple[str, str | None]]:
    dice = random.Random(seed)
    truths = [f"{dice.randrange(labels)}" for _ in range(n)]
    return [(truth, truth if dice.random() < right else f"{dice.randrange(labels)}") for truth in truths]


def test_counts_and_rows_give_one_interval_within_monte_carlo_error() -> None:
    pairs = answers(2 * MOST_ROWS, 6, 0.8)
    counts = percentile_interval(macro_f1_replicates(pairs), 0.95)
    rows = percentile_interval(macro_f1_replicates(pairs, drawn="rows"), 0.95)
    width = rows[1] - rows[0]
    assert counts == pytest.approx(rows, abs=0.15 * width)
    assert counts[1] - counts[0] == pytest.approx(width, rel=0.15)


def test_few_items_are_drawn_as_they_always_were() -> None:
    pairs = answers(300, 3, 0.7)
    assert macro_f1_replicates(pairs) == macro_f1_replicates(pairs, drawn="rows")


def test_a_difference_of_two_models_is_drawn_in_pairs() -> None:
    ours, theirs = answers(2 * MOST_ROWS, 3, 0.9), answers(2 * MOST_ROWS, 3, 0.9)
    same = macro_f1_difference_replicates([(t, a, b) for (t, a), (_, b) in zip(ours, theirs, strict=True)])
    assert max(map(abs, same)) < 1e-12


@pytest.mark.parametrize("count", [1, 3, 9, 10, 40, 1000])
def test_a_weight_has_the_mean_and_variance_of_its_count(count: int) -> None:
    dice = random.Random(1)
    drawn = [gamma_weight(dice, count) for _ in range(20_000)]
    mean = sum(drawn) / len(drawn)
    variance = sum((weight - mean) ** 2 for weight in drawn) / len(drawn)
    assert min(drawn) >= 0 and mean == pytest.approx(count, rel=0.03) and variance == pytest.approx(count, rel=0.06)
