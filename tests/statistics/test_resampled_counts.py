"""Intervals of gaps: fast whatever the rows, seeded, and covering where rows are few or belong together."""

from __future__ import annotations

import random
import sys
import time

import pytest

from flyball.statistics.fairness import GAPS, Confusion
from flyball.statistics.group_limits import difference_limits, ratio_limits
from flyball.statistics.resampled_counts import Replicates, resample

CELLS = [(group, outcome) for group in range(2) for outcome in ("yes", "no")]


def gap(cells: list[float]) -> float:
    """The difference in selection rate of two groups."""
    return GAPS["statistical_parity_difference"](
        [Confusion(tp=cells[0], fn=cells[1]), Confusion(cells[2], 0, cells[3])]
    )


def cases_of(*counts: tuple[int, int]) -> list[dict[object, int]]:
    return [
        {(g, o): 1} for g, pair in enumerate(counts) for o, n in zip(("yes", "no"), pair, strict=True) for _ in range(n)
    ]


def test_an_interval_is_the_same_each_time_and_holds_the_value() -> None:
    cases = cases_of((300, 200), (250, 250))
    first = resample(cases, CELLS).interval(gap, 0.95)
    assert first == resample(cases, CELLS).interval(gap, 0.95)
    assert first is not None and first[0] < 0.1 < first[1]
    assert first == pytest.approx((0.038, 0.162), abs=0.006)  # 0.1 ± 1.96 · sqrt(.24/500 + .25/500)


def test_twenty_thousand_replicates_of_100k_rows_take_well_under_a_second() -> None:
    pytest.importorskip("numpy")
    cases = cases_of((30_000, 20_000), (25_000, 25_000))
    resample(cases[:10], CELLS)
    began = time.process_time()
    replicates = resample(cases, CELLS)
    assert replicates.interval(gap, 0.95) is not None
    assert time.process_time() - began < 1.0
    assert "20000 replicates" in replicates.method


def test_without_numpy_there_are_fewer_replicates_and_the_method_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cases_of((300, 200), (250, 250))
    with_numpy = resample(cases, CELLS).interval(gap, 0.95)
    monkeypatch.setitem(sys.modules, "numpy", None)
    plain = resample(cases, CELLS)
    assert "1000 replicates (NumPy is not installed)" in plain.method
    assert with_numpy is not None and plain.interval(gap, 0.95) == pytest.approx(with_numpy, abs=0.012)


def test_cases_of_one_cluster_are_drawn_together() -> None:
    together = [{(g, o): 10} for g in range(2) for o in ("yes", "no") for _ in range(25)]
    apart = [{(g, o): 1} for g in range(2) for o in ("yes", "no") for _ in range(250)]
    wide, narrow = (resample(some, CELLS).interval(gap, 0.95) for some in (together, apart))
    assert wide is not None and narrow is not None
    assert wide[1] > 2.5 * narrow[1]


def test_a_statistic_that_mostly_has_no_value_has_no_interval() -> None:
    cases = [*cases_of((300, 200), (0, 0)), {(1, "yes"): 1}]
    assert resample(cases, CELLS).interval(gap, 0.95) is None
    assert isinstance(resample(cases, CELLS), Replicates)


def test_limits_doubt_rates_of_zero_and_one() -> None:
    lower, upper = difference_limits([(30, 30), (30, 30)], 0.9)
    assert lower == 0.0 and 0.09 < upper < 0.2
    assert ratio_limits([(30, 30), (30, 30)], 0.9)[0] < 0.92
    assert ratio_limits([(0, 30), (0, 30)], 0.9)[0] == 0.0


@pytest.mark.parametrize(
    ("rates", "n"), [((0.05, 0.15), 40), ((0.5, 0.6), 60), ((0.9, 0.9, 0.98), 50), ((0.99, 0.9), 30)]
)
def test_upper_limits_of_differences_and_lower_limits_of_ratios_hold(rates: tuple[float, ...], n: int) -> None:
    dice, missed, too_high, times = random.Random(7), 0, 0, 400
    truth, true_ratio = max(rates) - min(rates), min(rates) / max(rates)
    for _ in range(times):
        counts = [(sum(dice.random() < rate for _ in range(n)), n) for rate in rates]
        missed += difference_limits(counts, 0.9)[1] < truth
        too_high += ratio_limits(counts, 0.9)[0] > true_ratio
    assert missed <= 0.05 * times + 9  # 5 % is what they promise; 9 is two standard errors
    assert too_high <= 0.05 * times
