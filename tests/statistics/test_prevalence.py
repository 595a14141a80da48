"""The corrected share: by hand, at the limits, and its coverage by simulation."""

from __future__ import annotations

import random

import pytest

from flyball.statistics.prevalence import true_share


def test_it_is_the_published_estimate() -> None:
    found = true_share(30, 100, sensitivity=(80, 100), specificity=(90, 100), level=0.95)
    assert found is not None and found[0] == pytest.approx((0.3 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert 0.1 < found[1] < found[0] < found[2] < 0.5


def test_a_perfect_test_of_many_cases_changes_nothing() -> None:
    found = true_share(300, 1000, sensitivity=(10**6, 10**6), specificity=(10**6, 10**6), level=0.95)
    assert found is not None and found == pytest.approx((0.3, 0.2724, 0.3291), abs=1e-3)


def test_no_more_positives_than_the_test_errs_by_may_be_none_at_all() -> None:
    found = true_share(8, 100, sensitivity=(80, 100), specificity=(90, 100), level=0.95)
    assert found is not None and found[0] == found[1] == 0.0 and found[2] > 0
    assert true_share(1, 100, sensitivity=(80, 100), specificity=(90, 100), level=0.95) is None, (
        "it errs otherwise here"
    )


@pytest.mark.parametrize("sensitivity, specificity", [((5, 10), (5, 10)), ((1, 10), (1, 10)), ((0, 0), (9, 10))])
def test_a_test_that_tells_nothing_corrects_nothing(sensitivity: tuple[int, int], specificity: tuple[int, int]) -> None:
    assert true_share(5, 10, sensitivity=sensitivity, specificity=specificity, level=0.95) is None


@pytest.mark.parametrize("share, right, passing, known, n", [(0.1, 0.8, 0.95, 100, 200), (0.4, 0.85, 0.85, 60, 100)])
def test_the_interval_holds_the_true_share(share: float, right: float, passing: float, known: int, n: int) -> None:
    dice = random.Random(7)

    def drawn(times: int, chance: float) -> int:
        return sum(dice.random() < chance for _ in range(times))

    held = 0
    for _ in range(1000):
        positives = drawn(n, share * right + (1 - share) * (1 - passing))
        sensitivity, specificity = (drawn(known, right), known), (drawn(known, passing), known)
        found = true_share(positives, n, sensitivity=sensitivity, specificity=specificity, level=0.95)
        held += found is not None and found[1] <= share <= found[2]
    assert held >= 930
