"""Differences of paired measurements: the interval fits what was measured, and holds as often as it says."""

from __future__ import annotations

import random

import pytest

from flyball.statistics.paired import tango_lower
from flyball.statistics.paired_means import Pair, paired_difference


def test_right_or_wrong_has_tangos_interval_whichever_side_is_first() -> None:
    pairs = [Pair(first=0, second=1)] * 12 + [Pair(first=1, second=0)] * 2 + [Pair(first=1, second=1)] * 30
    found = paired_difference(pairs, level=0.95)
    assert found.method == "Tango" and found.value == pytest.approx(10 / 44)
    assert found.lower == tango_lower(12, 2, 44, 0.025)
    assert found.lower is not None and found.upper is not None and found.lower < found.value < found.upper
    flipped = paired_difference([Pair(first=p.second, second=p.first) for p in pairs], level=0.95)
    assert (flipped.lower, flipped.upper) == pytest.approx((-found.upper, -found.lower))


def test_where_nothing_changed_the_interval_is_no_narrower_than_the_exact_one() -> None:
    found = paired_difference([Pair(first=1, second=1)] * 50, level=0.95)
    assert found.value == 0.0
    assert found.upper is not None and found.upper >= 1 - 0.025 ** (1 / 50)
    assert found.lower == pytest.approx(-found.upper)


@pytest.mark.parametrize("kind", ["share", "graded", "milliseconds"])
def test_intervals_hold_as_often_as_they_say(kind: str) -> None:
    dice, missed, rounds = random.Random(5), 0, 200

    def one() -> Pair:
        first = dice.random()
        if kind == "share":
            return Pair(first=float(first < 0.7), second=float((first if dice.random() < 0.5 else dice.random()) < 0.8))
        if kind == "graded":
            return Pair(first=first, second=dice.random() * 0.2 + 0.8 * first)
        return Pair(first=100 * first, second=100 * first + dice.gauss(5, 20))

    truth = {"share": 0.1, "graded": 0.0, "milliseconds": 5.0}[kind]
    for _ in range(rounds):
        found = paired_difference([one() for _ in range(80)], level=0.95)
        assert found.lower is not None and found.upper is not None
        missed += not found.lower <= truth <= found.upper
    assert missed <= 18  # 10 are meant; 19 or more would come with a chance of .6 %


def test_cases_of_one_cluster_are_not_counted_as_independent() -> None:
    dice = random.Random(3)
    changes = [dice.choice([0.0, 1.0]) for _ in range(30)]
    clustered = [Pair(first=0.0, second=c, cluster=f"t{k}") for k, c in enumerate(changes) for _ in range(10)]
    alone = [Pair(first=0.0, second=c) for c in changes for _ in range(10)]
    wide, narrow = paired_difference(clustered, level=0.95), paired_difference(alone, level=0.95)
    assert "CR2, 30 clusters" in wide.method and wide.value == pytest.approx(narrow.value)
    assert wide.lower is not None and narrow.lower is not None and wide.lower < narrow.lower - 0.05


def test_too_few_clusters_have_no_interval_and_the_method_says_why() -> None:
    pairs = [Pair(first=0.0, second=1.0, cluster=str(k % 7)) for k in range(70)]
    found = paired_difference(pairs, level=0.95)
    assert (found.value, found.lower, found.method) == (1.0, None, "7 clusters, 20 needed")


def test_one_duration_has_no_interval() -> None:
    assert paired_difference([Pair(first=10.0, second=12.0)], level=0.95).lower is None
