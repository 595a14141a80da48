"""Restarts: pauses double while a child keeps ending, and are short again after calm."""

from __future__ import annotations

from flyball.supervision.restart_policy import RestartPolicy, Restarts


def test_pauses_double_up_to_the_longest() -> None:
    policy = RestartPolicy(first_s=0.1, longest_s=5.0)
    assert [round(policy.pause_s(deaths), 1) for deaths in (1, 2, 3, 6, 7, 2000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]


def test_a_child_that_dies_at_once_waits_longer_each_time() -> None:
    restarts, now, waits = Restarts(), 100.0, []
    restarts.starts(now, again=False)
    for _ in range(4):
        began = now
        while not restarts.may_start(now):
            now += 0.01
        waits.append(round(now - began, 1))
        restarts.starts(now, again=True)
    assert waits == [0.1, 0.2, 0.4, 0.8]


def test_calm_forgets_earlier_deaths() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.starts(0.0, again=True)
    restarts.lives(11.0)
    assert restarts.deaths == 0 and restarts.may_start(11.0)
