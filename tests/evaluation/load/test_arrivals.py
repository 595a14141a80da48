"""When requests leave: rates, spreads, ramps and steps hold, and plans that are too large are refused."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest

from flyball.errors import InputError
from flyball.evaluation.load.arrivals import Stage, arrivals, overload, steady


def test_constant_arrivals_are_even_and_as_many_as_the_rate_says() -> None:
    moments = list(arrivals(steady(10, 2.0), spread="constant"))
    assert len(moments) == 20 and moments[0] == pytest.approx(0.05)
    assert all(later - earlier == pytest.approx(0.1) for earlier, later in pairwise(moments))


@pytest.mark.parametrize(("spread", "shape", "squared_variation"), [("poisson", 1.0, 1.0), ("gamma", 0.25, 4.0)])
def test_intervals_vary_as_their_law_says(spread: str, shape: float, squared_variation: float) -> None:
    moments = list(arrivals(steady(100, 400.0), spread=spread, shape=shape))  # type: ignore[arg-type]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert statistics.fmean(gaps) == pytest.approx(0.01, rel=0.05)
    assert statistics.pvariance(gaps) / statistics.fmean(gaps) ** 2 == pytest.approx(squared_variation, rel=0.1)


def test_a_ramp_goes_from_rate_to_rate_in_a_straight_line() -> None:
    moments = list(arrivals((Stage(seconds=10, first_rate=0.0, last_rate=200.0),), spread="constant"))
    assert len(moments) == 1000
    assert sum(moment < 5 for moment in moments) == pytest.approx(250, abs=1)
    falling = list(arrivals((Stage(seconds=10, first_rate=200.0, last_rate=0.0),), spread="constant"))
    assert sum(moment < 5 for moment in falling) == pytest.approx(750, abs=1)


def test_an_overload_is_a_quarter_of_the_time_at_so_many_times_the_rate() -> None:
    moments = list(arrivals(overload(10, 5, 40.0), spread="constant"))
    counts = [sum(begin <= moment < end for moment in moments) for begin, end in ((0, 10), (10, 20), (20, 40))]
    assert counts == [100, 500, 200] and moments == sorted(moments)


def test_the_same_seed_gives_the_same_moments() -> None:
    first, again, other = (list(arrivals(steady(50, 2), spread="poisson", seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_plan_too_large_for_memory_is_refused() -> None:
    with pytest.raises(InputError, match="requests, more than"):
        arrivals(steady(10_000, 86_400), spread="poisson")
