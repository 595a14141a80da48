"""Sequences of a rollout's measures: exact under peeking, quick to see what matters, the same after a restart."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.statistics.detectors import RateRise
from flyball.statistics.missing import ResponseRates, worst_case_difference, worst_case_mean
from flyball.statistics.sample_ratio import SampleRatio
from flyball.statistics.two_arm import TwoArmHarm, TwoArmNonInferior, projection
from flyball.statistics.two_arm_means import RatioBelow
from flyball.statistics.two_arm_quantiles import QuantileBelow, QuantileHistogram, cells_of, together

ALPHA = 0.05


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.integers(1, 300), st.integers(1, 300), st.floats(-0.4, 0.4))
def test_the_closed_form_is_the_point_of_the_null_that_is_closest(
    a: float, b: float, n_a: int, n_b: int, gap: float
) -> None:
    def distance(x: float) -> float:
        y = x + gap
        first = n_a * (a * math.log(x) + (1 - a) * math.log(1 - x))
        return -first - n_b * (b * math.log(y) + (1 - b) * math.log(1 - y))

    x = projection(a, b, n_a, n_b, gap)
    low, high = max(0.0, -gap), min(1.0, 1.0 - gap)
    nearby = [near for near in (x - 1e-4, x + 1e-4) if low + 1e-9 < near < high - 1e-9]
    if low + 1e-6 < x < high - 1e-6:
        assert all(distance(x) <= distance(near) + 1e-7 for near in nearby)


@pytest.mark.parametrize("kind", ["harm", "not worse"])
def test_fractional_scores_are_tested_by_their_means_and_wrongly_at_most_at_alpha(kind: str) -> None:
    """300 runs of 2,000 units with a look after each, exactly at the null; tolerance .05 + .025 (two errors)."""
    dice, alarms = random.Random(1), 0
    for _ in range(300):
        test = TwoArmHarm() if kind == "harm" else TwoArmNonInferior(0.1)
        for _ in range(2000):
            canary = dice.random() < 0.2
            score = dice.betavariate(4, 1)  # mean .8
            if kind != "harm" and canary:
                score = dice.betavariate(7, 3)  # mean .7
            test.update("candidate" if canary else "live", score)
        alarms += test.rejects(ALPHA)
    assert alarms / 300 <= ALPHA + 0.025


def quantile_run(dice: random.Random, ratio: float, test: QuantileBelow, *, harm: bool, limit: int) -> int | None:
    """Canary units until the claim is proven; None when it never is."""
    width = cells_of(1.25)[0]
    live, candidate, canaries = QuantileHistogram(test.p, width), QuantileHistogram(test.p, width), 0
    while canaries < limit:
        canary = dice.random() < 0.1
        canaries += canary
        value = 200 * dice.lognormvariate(0, 0.5) * (ratio if canary else 1.0)
        (candidate if canary else live).add(value)
        if harm:
            test.take(candidate, live, 0 if canary else 1)
        else:
            test.take(live, candidate, 1 if canary else 0)
        if test.rejects(ALPHA / 6 if harm else ALPHA):
            return canaries
    return None


def test_equal_latency_is_called_slower_and_slower_latency_equal_at_most_at_alpha() -> None:
    """120 runs each of 250 canary units, exactly at the nulls."""
    dice = random.Random(2)
    slower = [quantile_run(dice, 1.0, QuantileBelow(0.9), harm=True, limit=250) for _ in range(120)]
    equal = [quantile_run(dice, 1.25, QuantileBelow(0.9, 1.25), harm=False, limit=250) for _ in range(120)]
    assert sum(one is not None for one in slower) <= 6 and sum(one is not None for one in equal) <= 10


def test_three_times_slower_is_seen_within_twenty_canary_units_and_equal_is_proven_in_some_hundreds() -> None:
    dice = random.Random(3)
    waits = [quantile_run(dice, 3.0, QuantileBelow(0.9), harm=True, limit=200) for _ in range(60)]
    assert all(one is not None for one in waits) and sum(one or 0 for one in waits) / 60 < 20
    proofs = [quantile_run(dice, 1.0, QuantileBelow(0.9, 1.25), harm=False, limit=1500) for _ in range(30)]
    assert all(one is not None for one in proofs) and sum(one or 0 for one in proofs) / 30 < 400


values = st.lists(st.tuples(st.booleans(), st.floats(0.01, 1e6)), min_size=2, max_size=80)


@given(values, st.sampled_from([(0.5, 1.0), (0.9, 1.0), (0.9, 1.25), (0.5, 2.0)]))
def test_the_search_finds_the_least_evidence_over_the_whole_grid(
    seen: list[tuple[bool, float]], what: tuple[float, float]
) -> None:
    p, factor = what
    width, steps = cells_of(factor)
    a, b = QuantileHistogram(p, width), QuantileHistogram(p, width)
    test = QuantileBelow(p, factor)
    for of_b, value in seen:
        (b if of_b else a).add(value)
    if not a.total or not b.total:
        return
    least, last = math.inf, len(a.counts) - 1
    for cell in range(last + 1):
        below_b = sum(b.counts[: max(0, min(cell + steps - 1, last - 1) + 1)])
        of_a, of_b = test._less.log_e(sum(a.counts[: cell + 1]), a.total), test._more.log_e(below_b, b.total)
        least = min(least, together(of_a, of_b))
    test.take_block(a, b, a.total, b.total)
    assert test.peak == pytest.approx(max(0.0, least), abs=1e-9)


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_histogram_has_the_quantile_to_the_width_of_a_cell(many: list[float], p: float) -> None:
    histogram = QuantileHistogram(p, 0.03)
    for value in many:
        histogram.add(value)
    true = sorted(many)[math.ceil(p * len(many) - 1e-9) - 1]
    shown = histogram.quantile
    assert (shown == math.inf and true > 9e6) or (true <= shown * 1.001 and shown <= max(true, 0.001) * 1.032)


def test_dear_is_found_and_equal_cost_is_called_dear_at_most_at_alpha() -> None:
    """300 runs of 1,500 units at the null; tolerance .05 + .025."""
    dice, alarms, waits = random.Random(4), 0, []
    for _ in range(300):
        harm = RatioBelow()
        for _ in range(1500):
            harm.update(dice.random() < 0.1, min(1.0, 0.15 * dice.lognormvariate(0, 1)))
        alarms += harm.rejects(ALPHA)
    for _ in range(50):
        harm, canaries = RatioBelow(), 0
        while not harm.rejects(ALPHA / 6):
            canary = dice.random() < 0.1
            canaries += canary
            harm.update(canary, min(1.0, (0.3 if canary else 0.15) * dice.lognormvariate(0, 1)))
        waits.append(canaries)
    assert alarms / 300 <= ALPHA + 0.025
    assert sum(waits) / 50 < 120


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([1.0, 1.25, 2.0]))
def test_a_block_of_costs_is_a_fair_bet_at_the_null(first: float, second: float, factor: float) -> None:
    """Two-point scores with means m₁ ≥ factor·m₂: the mean e-value of a block is at most one."""
    if first < factor * second:
        return
    expected = 0.0
    for one, p_one in ((1.0, first), (0.0, 1 - first)):
        for two, p_two in ((1.0, second), (0.0, 1 - second)):
            test = RatioBelow(factor)
            test.update(0, one)
            expected += p_one * p_two * test.update(1, two)
    assert expected <= 1.0 + 1e-9


def test_the_mean_run_to_a_false_alarm_is_at_least_what_is_stated() -> None:
    """At the usual rate exactly; 40 runs, stated 500: their mean has a standard error of some 100."""
    dice, runs = random.Random(5), []
    for _ in range(40):
        detector, run = RateRise(0.05, 500.0), 1
        while not detector.update(dice.random() < 0.05):
            run += 1
        runs.append(run)
    assert sum(runs) / 40 >= 500


@pytest.mark.parametrize(("usual", "most"), [(0.02, 4), (0.05, 5), (0.1, 6)])
def test_a_full_outage_is_seen_after_a_handful_of_failures_however_long_all_was_well(usual: float, most: int) -> None:
    detector, failures = RateRise(usual), 0
    for _ in range(10_000):
        detector.update(False)
    while not detector.alarm:
        failures += 1
        detector.update(True, failures)
    assert failures == most and detector.began == 1
    for _ in range(400):
        detector.update(False)
    assert not detector.alarm and detector.began is None


def test_zeros_at_once_are_zeros_one_by_one() -> None:
    dice, slow, fast = random.Random(6), RateRise(0.02), RateRise(0.02)
    for _ in range(60):
        zeros, ones = dice.randrange(0, 60), dice.randrange(0, 4)
        for _ in range(zeros):
            slow.update(False)
        fast.update_zeros(zeros)
        for at in range(ones):
            assert slow.update(True, at) == fast.update(True, at)
        assert fast.value == pytest.approx(slow.value) and fast.began == slow.began
        assert fast._burst == pytest.approx(slow._burst)


def test_the_loss_that_a_split_could_have_shown_is_the_one_that_it_shows_four_times_in_five() -> None:
    ratio = SampleRatio(0.1, canary=500, live=4500)
    loss = ratio.detectable_loss(0.001)
    dice, found = random.Random(7), 0
    for _ in range(300):
        kept = 0.1 * (1 - loss) / (1 - 0.1 * loss)
        canary = sum(dice.random() < kept for _ in range(5000))
        one = SampleRatio(0.1)
        one.update(canary=canary, live=5000 - canary)
        found += one.rejects(0.001)
    assert 0.73 <= found / 300 <= 0.87
    assert ratio.excluded_loss(0.001) < loss < ratio.excluded_loss(1e-9)
    assert SampleRatio(0.1).excluded_loss(0.001) == SampleRatio(0.1, canary=1, live=9).detectable_loss(0.001) == 1.0


def test_worst_case_bounds_hold_whatever_the_silent_would_have_said() -> None:
    assert worst_case_mean(40.0, 50, 100) == (0.4, 0.9)
    assert worst_case_mean(0.0, 0, 0) == (0.0, 1.0)
    assert worst_case_difference((0.4, 0.9), (0.7, 0.8)) == pytest.approx((-0.4, 0.2))


def test_response_rates_that_differ_are_found_and_equal_ones_rarely_called_different() -> None:
    dice, false, found = random.Random(8), 0, 0
    for _ in range(200):
        equal, less = ResponseRates(), ResponseRates()
        for _ in range(1000):
            arm = "candidate" if dice.random() < 0.3 else "live"
            equal.update(arm, dice.random() < 0.6)
            less.update(arm, dice.random() < (0.3 if arm == "candidate" else 0.6))
        false += equal.p_value <= ALPHA
        found += less.p_value <= ALPHA
    assert false / 200 <= ALPHA + 0.03 and found == 200


def test_all_go_on_after_a_restart_as_if_nothing_had_happened() -> None:
    dice, means, rates, rise = random.Random(9), RatioBelow(1.25), ResponseRates(), RateRise(0.02)
    quantiles, a, b = QuantileBelow(0.9, 1.25), QuantileHistogram(0.9, 0.03), QuantileHistogram(0.9, 0.03)
    kept = [json.loads(json.dumps(one.state())) for one in (means, rates, rise, quantiles)]
    again = (RatioBelow, ResponseRates, RateRise, QuantileBelow)
    for _ in range(300):
        copies = [kind.restore(state) for kind, state in zip(again, kept, strict=True)]
        place, value, yes = int(dice.random() < 0.3), dice.random(), dice.random() < 0.1
        (b if place else a).add(value)
        for one in (means, copies[0]):
            one.update(place, value)
        for one in (rates, copies[1]):
            one.update("live" if place else "candidate", yes)
        for one in (rise, copies[2]):
            one.update(yes, 7)
        for one in (quantiles, copies[3]):
            one.take(a, b, place)
        kept = [json.loads(json.dumps(one.state())) for one in (means, rates, rise, quantiles)]
        assert [json.loads(json.dumps(one.state())) for one in copies] == kept


def test_what_cannot_be_tested_is_refused() -> None:
    for make in (
        lambda: RatioBelow(0.0),
        lambda: QuantileBelow(1.0),
        lambda: RateRise(0.0),
        lambda: RateRise(0.1, 1.0),
    ):
        with pytest.raises(InputError):
            make()
