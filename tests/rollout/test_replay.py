"""Paired replay in numbers: pairs become scores, conversations count once, false alarms stay within α at any look."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.rollout.replay import Answered, Comparison, Pair, bounds, clustered, scores_of


def answered(text: str | None = "x", *, ms: float = 10.0, usd: float = 1.0, right: bool | None = None) -> Answered:
    return Answered(text=text, total_ms=ms, usd=usd, right=right)


def pair(candidate: Answered, live: Answered, cluster: str = "c") -> Pair:
    return Pair(request="r", cluster=cluster, candidate=candidate, live=live)


def test_a_score_above_one_half_says_that_the_candidate_is_worse() -> None:
    assert scores_of([pair(answered(None), answered())]) == {"failures": 1.0}
    assert scores_of([pair(answered(), answered(None))]) == {"failures": 0.0}
    wrong = scores_of([pair(answered(right=False, ms=30), answered(right=True, usd=3.0))])
    assert wrong == {"failures": 0.5, "quality": 1.0, "latency": 0.75, "cost": 0.25}
    both = scores_of([pair(answered(right=True), answered(right=True)), pair(answered(), answered(None))])
    assert both["failures"] == 0.25 and both["quality"] == 0.5  # the mean over the conversation's pairs


@given(st.lists(st.tuples(st.sampled_from("abc"), st.uuids().map(str)), max_size=30), st.integers(1, 5))
def test_no_cluster_is_larger_than_allowed_and_their_order_is_the_given_one(
    pairs: list[tuple[str, str]], most: int
) -> None:
    found = clustered(pairs, lambda name: -ord(name), most)
    assert list(found) == sorted({cluster for cluster, _ in pairs}, reverse=True)
    for cluster, requests in found.items():
        assert requests == [request for name, request in pairs if name == cluster][:most]


def simulated(rng: random.Random, *, live: float, loss: float, clusters: int) -> Comparison:
    """Conversations of one to five requests that are easy or hard as a whole; the candidate loses `loss` of them."""
    comparison = Comparison(margin=0.1, alpha=0.05)
    for number in range(clusters):
        hard = rng.random() < 0.3
        pairs = []
        for _ in range(rng.randint(1, 5)):
            good = rng.random() < (live - 0.5 if hard else live)
            other = rng.random() < (live - 0.5 if hard else live) - loss
            noise = answered(ms=rng.uniform(5, 20), right=other), answered(ms=rng.uniform(5, 20), right=good)
            pairs.append(pair(*noise, cluster=str(number)))
        comparison.take(pairs)
        if comparison.proven_worse:
            break
    return comparison


def test_an_equal_candidate_is_called_worse_in_no_more_than_alpha_of_replays_looked_at_after_each_conversation() -> (
    None
):
    """300 replays of 200 conversations: at most 5 % + 3 standard deviations; a candidate 30 points worse is found."""
    rng = random.Random(7)
    alarms = sum(simulated(rng, live=0.9, loss=0.0, clusters=200).verdict == "worse" for _ in range(300))
    assert alarms / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    found = [simulated(rng, live=0.9, loss=0.3, clusters=200) for _ in range(50)]
    assert sum(one.verdict == "worse" for one in found) >= 48
    assert sorted(one.clusters for one in found)[25] < 100


def test_the_bounds_of_a_mean_hold_it_and_narrow() -> None:
    rng = random.Random(3)
    held, widths = 0, []
    for n in [30, 300] * 60:
        low, high = bounds([float(rng.random() < 0.3) for _ in range(n)], 0.05)
        held += low <= 0.3 <= high
        widths.append(high - low)
    assert held >= 112  # 95 % of 120, and more: they hold at every look
    assert sum(widths[1::2]) < 0.6 * sum(widths[::2])
    assert bounds([], 0.05) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_within_the_margin_needs_known_right_answers() -> None:
    comparison = Comparison(margin=0.3, alpha=0.05)
    for _ in range(200):
        comparison.take([pair(answered(), answered())])
    assert comparison.verdict == "inconclusive" and "quality" not in comparison.measured
    for _ in range(200):
        comparison.take([pair(answered(right=True), answered(right=True))])
    assert comparison.verdict == "not_worse"
    figures = comparison.figures()
    assert figures["agreement"] == 1.0 and figures["measures"]["quality"]["difference"] == 0.0


def test_slower_is_shown_and_not_acted_on() -> None:
    comparison = Comparison(margin=0.1, alpha=0.05)
    for _ in range(200):
        comparison.take([pair(answered(ms=100.0), answered(ms=10.0))])
    assert comparison.worse_in == ["latency"] and comparison.proven_worse == []
    assert comparison.figures()["measures"]["latency"]["ratio"] == pytest.approx(10.0)
