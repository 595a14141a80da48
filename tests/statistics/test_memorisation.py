"""Memorisation: exposure by rank, and an audit that errs no more often than it says and finds what is there."""

from __future__ import annotations

import math
import random

import pytest

from flyball.errors import InputError
from flyball.statistics.memorisation import audit, exposure


def test_exposure_is_the_bits_that_a_rank_saves() -> None:
    held_out = [float(at) for at in range(255)]
    assert exposure(1000.0, held_out) == 8.0
    assert exposure(-1.0, held_out) == 0.0
    assert exposure(254.0, held_out) == 7.0  # a tie counts as known less well
    assert exposure(127.5, held_out) == pytest.approx(1.0, abs=0.01)


def test_a_model_that_knows_nothing_is_accused_no_more_often_than_alpha() -> None:
    own, accused, private = random.Random(5), 0, 0
    for _ in range(2000):
        planted = [own.random() < 0.5 for _ in range(100)]
        found = audit([round(own.gauss(0, 1), 1) for _ in planted], planted)
        accused += found.p_value <= 0.05
        private += found.epsilon_lower(0.05) > 0.0
    assert accused / 2000 <= 0.06 and private / 2000 <= 0.06


def test_the_bound_of_epsilon_holds_for_randomised_response() -> None:
    """Scores that are the coin, told truly with probability e^ε / (1 + e^ε): training with exactly this ε."""
    own, epsilon, above = random.Random(6), 1.0, 0
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    for _ in range(1000):
        planted = [own.random() < 0.5 for _ in range(120)]
        told = [coin if own.random() < truth else not coin for coin in planted]
        scores = [told_so + own.random() / 2 for told_so in told]
        above += audit(scores, planted, guesses=80).epsilon_lower(0.05) > epsilon
    assert above / 1000 <= 0.065


def test_memorised_canaries_are_found() -> None:
    own = random.Random(7)
    planted = [own.random() < 0.5 for _ in range(100)]
    found = audit([own.gauss(2.0 if coin else 0.0, 1) for coin in planted], planted)
    assert found.p_value < 1e-6 and found.epsilon_lower(0.05) > 1.0 and found.guesses == 66


def test_a_model_that_says_the_same_of_all_proves_nothing() -> None:
    own = random.Random(8)
    assert audit([0.0] * 200, [own.random() < 0.5 for _ in range(200)]).p_value > 0.01


@pytest.mark.parametrize(("scores", "planted"), [([1.0], [True]), ([1.0, 2.0, 3.0], [True])])
def test_too_few_or_unequal_canaries_are_refused(scores: list[float], planted: list[bool]) -> None:
    with pytest.raises(InputError):
        audit(scores, planted)
