"""Control has the sampled answers judged beside its passes, one run at a time, and goes on when judging fails."""

from __future__ import annotations

import threading
from dataclasses import replace

import msgspec

from control_shop import ROLLOUT, Shop, passes
from flyball.control.reconciler import step
from flyball.rollout.config import JudgeConfig


def test_judging_runs_beside_the_passes_and_its_failure_stops_none(shop: Shop) -> None:
    gate, calls = threading.Event(), []

    def judge() -> int:
        calls.append(1)
        gate.wait(10)
        raise RuntimeError("no model")

    rollout = msgspec.structs.replace(ROLLOUT, judge=JudgeConfig(command=("judge",), every_s=0.05))
    context = replace(shop.control(rollout=rollout), judge=judge)
    shop.made.append(context)
    passes(context, lambda: bool(calls))
    for _ in range(5):
        assert step(context)  # no pass waits for the judge
    assert len(calls) == 1
    gate.set()
    passes(context, lambda: len(calls) > 1)


def test_without_a_program_nobody_is_asked(shop: Shop) -> None:
    calls: list[int] = []
    context = replace(shop.control(), judge=lambda: calls.append(1))
    shop.made.append(context)
    for _ in range(3):
        assert step(context)
    assert calls == []
