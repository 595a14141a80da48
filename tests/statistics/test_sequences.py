"""Sequences keep their error under a look after every observation, and see what they are for."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.statistics.sequences import (
    BernoulliAbove,
    BernoulliBelow,
    MeanAbove,
    SampleRatio,
    TwoArm,
    TwoArmHarm,
    TwoArmNonInferior,
)
from flyball.statistics.two_arm import projection

ALPHA = 0.05


def canary_units(
    test: TwoArmHarm | TwoArmNonInferior,
    rates: tuple[float, float],
    limit: int,
    dice: random.Random,
    share: float = 0.1,
    alpha: float = ALPHA,
) -> int | None:
    """Canary units until the test rejects, looked at after every unit; None when it never does."""
    units = 0
    while units < limit:
        canary = dice.random() < share
        units += canary
        test.update("candidate" if canary else "live", dice.random() < rates[canary])
        if test.rejects(alpha):
            return units
    return None


@pytest.mark.parametrize("null", [0.02, 0.5, 0.9])
def test_one_arm_raises_false_alarms_at_most_at_alpha_under_optional_stopping(null: float) -> None:
    """600 runs of 250 looks exactly at the null; tolerance .05 + .018 (two standard errors)."""
    dice, alarms = random.Random(1), 0
    for _ in range(600):
        above, below = BernoulliAbove(null), BernoulliBelow(null)
        for _ in range(250):
            outcome = dice.random() < null
            above.update(outcome)
            below.update(outcome)
        alarms += above.rejects(ALPHA / 2) or below.rejects(ALPHA / 2)
    assert alarms / 600 <= ALPHA + 0.018


def test_one_arm_sees_ten_points_in_a_few_hundred_observations() -> None:
    dice, waits = random.Random(2), []
    for _ in range(200):
        drop = BernoulliBelow(0.85)
        waits.append(next(n for n in itertools.count(1) if drop.update(dice.random() < 0.75) >= 100))
    assert sum(waits) / 200 < 250


@given(st.sampled_from([MeanAbove]), st.floats(0.05, 0.95))
def test_one_bet_is_fair_at_the_null(kind: type[MeanAbove], null: float) -> None:
    """The mean e-value after one draw with the null's mean is one: (1 − m)·e(0) + m·e(1)."""
    assert (1 - null) * kind(null).update(0) + null * kind(null).update(1) == pytest.approx(1.0)


def test_a_sample_ratio_alarm_is_rare_when_shares_are_right_and_certain_when_units_are_lost() -> None:
    dice, false, found = random.Random(3), 0, 0
    for _ in range(400):
        right, lossy = SampleRatio(0.1), SampleRatio(0.1)
        for _ in range(1500):
            canary = dice.random() < 0.1
            right.update(canary=canary, live=not canary)
            if not canary or dice.random() < 0.5:  # half of the canary's units are lost
                lossy.update(canary=canary, live=not canary)
        false += right.rejects(ALPHA)
        found += lossy.rejects(ALPHA)
    assert false / 400 <= ALPHA + 0.02
    assert found / 400 >= 0.99


@given(
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(-0.3, 0.3),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_block_is_an_e_variable_for_every_point_of_the_null(
    a: float, b: float, n_a: int, n_b: int, gap: float, true_a: float, true_b: float
) -> None:
    """E = (1 + (θa − xa)·da)^na · (1 + (θb − xb)·db)^nb ≤ 1 where θb − θa ≥ gap, for alternatives outside of it."""
    if b - a >= gap or true_b - true_a < gap:
        return
    x = projection(a, b, n_a, n_b, gap)
    y = x + gap
    mean_a = true_a * a / x + (1 - true_a) * (1 - a) / (1 - x)
    mean_b = true_b * b / y + (1 - true_b) * (1 - b) / (1 - y)
    assert mean_a**n_a * mean_b**n_b <= 1.0 + 1e-6


@settings(max_examples=300)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.sampled_from([0.0, 0.02, 0.1]))
def test_alternatives_always_lie_outside_the_null(units: list[tuple[bool, bool]], beyond: float) -> None:
    for test in (TwoArmHarm(beyond), TwoArmNonInferior(max(beyond, 0.01))):
        for canary, good in units:
            test.update("candidate" if canary else "live", good)
        seen = test.counts
        a, b = (seen[0] + 0.5) / (seen[0] + seen[1] + 1), (seen[2] + 0.5) / (seen[2] + seen[3] + 1)
        for alternative_a, alternative_b in test.alternatives(a, b, seen[0] + seen[1] + 1, seen[2] + seen[3] + 1):
            assert 0.0 < alternative_a < 1.0 and 0.0 < alternative_b < 1.0
            assert alternative_b - alternative_a < test.gap


@pytest.mark.parametrize(("base", "share"), [(0.8, 0.1), (0.8, 0.5), (0.99, 0.1), (0.3, 0.9)])
def test_an_equal_candidate_is_called_harmful_at_most_at_alpha(base: float, share: float) -> None:
    """600 runs of 150 (1:9) or 400 canary units with a look after each; tolerance .05 + .018 (two standard errors)."""
    dice = random.Random(4)
    limit = 150 if share < 0.5 else 400
    alarms = sum(canary_units(TwoArmHarm(), (base, base), limit, dice, share) is not None for _ in range(600))
    assert alarms / 600 <= ALPHA + 0.018


@pytest.mark.parametrize("base", [0.8, 0.97])
def test_a_candidate_worse_by_the_margin_is_called_harmless_at_most_at_alpha(base: float) -> None:
    """400 runs of 150 canary units; tolerance .05 + .022 (two standard errors)."""
    dice = random.Random(5)
    runs = [canary_units(TwoArmNonInferior(0.05), (base, base - 0.05), 150, dice) for _ in range(400)]
    assert sum(run is not None for run in runs) / 400 <= ALPHA + 0.022


def test_rare_errors_do_not_promote_a_candidate_with_six_times_as_many() -> None:
    """.1 % against .6 %, margin half a point: asymptotic sequences promote falsely in 17–54 % of the runs."""
    dice = random.Random(6)
    runs = [canary_units(TwoArmNonInferior(0.005), (0.999, 0.994), 400, dice) for _ in range(200)]
    assert sum(run is not None for run in runs) / 200 <= ALPHA + 0.03


def test_a_drop_of_ten_points_is_seen_within_600_canary_units_nine_times_in_ten() -> None:
    """Base .8, share 10 %, α/6: our earlier simulations needed 258–273 canary units in the mean."""
    dice = random.Random(7)
    runs = [canary_units(TwoArmHarm(), (0.8, 0.7), 600, dice, alpha=ALPHA / 6) for _ in range(300)]
    seen = [run for run in runs if run is not None]
    assert len(seen) / 300 >= 0.9
    assert sum(seen) / len(seen) <= 290


def test_an_equal_candidate_is_proven_within_1500_canary_units_nine_times_in_ten() -> None:
    """Base .8, share 10 %, margin 5 points: earlier 539–673 canary units in the mean."""
    dice = random.Random(8)
    runs = [canary_units(TwoArmNonInferior(0.05), (0.8, 0.8), 1500, dice) for _ in range(120)]
    seen = [run for run in runs if run is not None]
    assert len(seen) / 120 >= 0.88
    assert sum(seen) / len(seen) <= 680


@pytest.mark.parametrize("make", [lambda: TwoArmHarm(0.01), lambda: TwoArmNonInferior(0.05)])
def test_a_two_arm_sequence_goes_on_after_a_restart_as_if_nothing_happened(make: object) -> None:
    assert callable(make)
    dice, whole, parts = random.Random(9), make(), make()
    for index in range(3000):
        arm, good = ("candidate" if dice.random() < 0.1 else "live"), dice.random() < 0.8
        whole.update(arm, good)
        parts.update(arm, good)
        if index % 100 == 0:
            parts = type(parts).restore(json.loads(json.dumps(parts.state())))
    assert parts.state() == whole.state()
    assert parts.e_value == whole.e_value


def test_one_arm_sequences_go_on_after_a_restart() -> None:
    for sequence in (BernoulliAbove(0.3), BernoulliBelow(0.3), SampleRatio(0.3)):
        for good in (1, 1, 0, 1, 1) if not isinstance(sequence, BernoulliBelow) else (0, 0, 0, 0, 1):
            if isinstance(sequence, SampleRatio):
                sequence.update(canary=good, live=1 - good)
            else:
                sequence.update(good)
        copy = type(sequence).restore(json.loads(json.dumps(sequence.state())))
        assert copy.state() == sequence.state()
        assert copy.p_value == sequence.p_value < 1.0


def test_fifty_thousand_updates_take_less_than_a_second_of_processor_time() -> None:
    dice = random.Random(10)
    units = [("candidate" if dice.random() < 0.1 else "live", dice.random() < 0.8) for _ in range(50_000)]
    for test in (TwoArmHarm(), TwoArmNonInferior(0.05)):
        began = time.process_time()
        for arm, good in units:
            test.update(arm, good)  # type: ignore[arg-type]
        assert time.process_time() - began < 1.0


def test_nulls_that_cannot_be_tested_are_refused() -> None:
    with pytest.raises(InputError, match="a null of 1"):
        BernoulliAbove(1.0)
    with pytest.raises(InputError, match=r"a difference of -1\.5"):
        TwoArmHarm(1.5)
    assert isinstance(TwoArmHarm(), TwoArm)
