"""Families of tests keep their error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.statistics.multiplicity import holm, holm_adjusted


def test_holm_equals_a_worked_example() -> None:
    """Holm 1979's procedure on .01, .04, .03, .005: .03, .06, .06, .02."""
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([], 0.05) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_all_that_bonferroni_rejects_and_only_small_p_values(p_values: list[float]) -> None:
    for p_value, rejected in zip(p_values, holm(p_values, 0.05), strict=True):
        assert rejected or p_value > 0.05 / len(p_values)
        assert p_value <= 0.05 or not rejected
