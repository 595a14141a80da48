"""The change test keeps its false alarms for ever and notices a change also after a long good past."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.monitoring.change_detection import BLOCK, KEPT, ChangeTest, Direction
from flyball.statistics.sequences import BernoulliAbove


def first_alarm(test: ChangeTest, outcomes: list[bool], needed: float) -> int | None:
    for place, outcome in enumerate(outcomes, start=1):
        if test.update(outcome, place=place) >= needed:
            return place
    return None


@pytest.mark.parametrize(("limit", "direction"), [(0.15, "above"), (0.8, "below")])
def test_unchanged_traffic_at_the_limit_alarms_at_most_alpha_over_a_whole_life(
    limit: float, direction: Direction
) -> None:
    """150 lives of 600 observations exactly at the limit, looked at after each: α = .1, binomial tolerance 3 σ."""
    alpha, lives = 0.1, 150
    rng = random.Random(7)
    alarms = sum(
        first_alarm(ChangeTest(limit, direction), [rng.random() < limit for _ in range(600)], 1 / alpha) is not None
        for _ in range(lives)
    )
    assert alarms / lives <= alpha + 3 * (alpha * (1 - alpha) / lives) ** 0.5


def test_a_change_after_a_long_good_past_is_noticed_soon_where_one_plain_e_process_is_not() -> None:
    rng = random.Random(3)
    past = [rng.random() < 0.05 for _ in range(2000)]
    change = [rng.random() < 0.5 for _ in range(200)]
    found = first_alarm(ChangeTest(0.15, "above"), past + change, 400)
    assert found is not None and 2000 < found <= 2000 + 120
    plain = BernoulliAbove(0.15)
    assert max(plain.update(float(outcome)) for outcome in past + change) < 400


def test_it_says_about_when_the_change_began() -> None:
    rng = random.Random(5)
    test = ChangeTest(0.15, "above")
    found = first_alarm(test, [rng.random() < 0.05 for _ in range(1000)] + [True] * 200, 400)
    assert found is not None
    place, n, hits = test.suspected
    assert 1000 - BLOCK <= place <= 1000 + BLOCK
    assert hits <= n == found - place + 1


@given(st.lists(st.booleans(), max_size=120), st.integers(0, 120))
def test_stopping_and_going_on_from_the_stored_state_changes_nothing(outcomes: list[bool], cut: int) -> None:
    whole, parts = ChangeTest(0.3, "below"), ChangeTest(0.3, "below")
    for place, outcome in enumerate(outcomes):
        if place == cut:
            parts = ChangeTest.restore(json.loads(json.dumps(parts.state())))
        assert parts.update(outcome, place=place) == whole.update(outcome, place=place)


def test_the_state_stays_small() -> None:
    test = ChangeTest(0.2, "above")
    for place in range(KEPT * BLOCK * 3):
        test.update(place % 7 == 0, place=place)
    assert len(json.dumps(test.state())) < 8000


def test_nothing_seen_is_no_evidence() -> None:
    assert ChangeTest(0.2, "above").e_value == 1.0
