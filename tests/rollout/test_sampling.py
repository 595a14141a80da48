"""The judged sample: as large as was asked for, blind to the arm, and never smaller when the share grows."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.routing import position
from flyball.records.identity import uuid7
from flyball.rollout.sampling import in_sample, place

names = st.text(min_size=1, max_size=30)
shares = st.floats(0.0, 1.0)


@given(names, shares, shares)
def test_a_larger_share_only_adds_units(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert in_sample("d", unit, large) or not in_sample("d", unit, small)


@given(names)
def test_nobody_is_sampled_at_0_and_everybody_at_1(unit: str) -> None:
    assert not in_sample("d", unit, 0.0) and in_sample("d", unit, 1.0)
    assert 0.0 <= place("d", unit) < 1.0


def test_the_sample_is_as_large_as_asked_and_knows_nothing_of_the_arm_or_of_other_rollouts() -> None:
    """20,000 units: every count within 4.5 standard deviations of independence."""
    n, share, canary = 20_000, 0.2, 0.1
    deployment, before = uuid7(now_ms=1, random=1), uuid7(now_ms=1, random=2)
    units = [f"user-{number}" for number in range(n)]
    sampled = {unit for unit in units if in_sample(deployment, unit, share)}
    assert near(len(sampled), n, share)
    in_canary = {unit for unit in units if position("shop", unit) < canary}
    assert near(len(sampled & in_canary), n, share * canary)
    salted = {unit for unit in units if position(deployment, unit) < canary}  # even where the salts are the same
    assert near(len(sampled & salted), n, share * canary)
    assert near(sum(in_sample(before, unit, share) for unit in sampled), len(sampled), share)


def near(count: int, n: int, probability: float) -> bool:
    return abs(count - n * probability) < 4.5 * math.sqrt(n * probability * (1 - probability))
