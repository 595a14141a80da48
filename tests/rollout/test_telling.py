"""Figures of a rollout in words that a person understands."""

from __future__ import annotations

from test_machine import CANARY, SHADOW, at

from examples import request_record
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.machine import figures_of
from flyball.rollout.observation import ArmCounts, Mirrored, Observation
from flyball.rollout.telling import lines_of


def told(evidence: dict[str, object]) -> dict[str, str]:
    return dict(lines_of(evidence))


def test_both_arms_and_each_measure_have_a_line() -> None:
    config = RolloutConfig(judge_after_s=0.0)
    evidence = Evidence(candidate="d2", live="d1", config=config, in_sample=lambda _unit: False)
    evidence.shares = [(0, 0.5)]
    for number in range(40):
        arm = "d2" if number % 2 else "d1"
        outcome = "error" if number == 1 else "ok"
        made = {"outcome": outcome, "attempts": 2 if number == 3 else 1}
        evidence.take([request_record(deployment=arm, unit=f"u{number}", started_ms=10_000 + number, **made)])
    evidence.judge(evidence.due(10**9), {})
    seen = Observation(candidate=evidence.arm("candidate"), live=evidence.arm("live"), figures=evidence.figures)
    lines = told(figures_of(CANARY, at("ramping"), seen, config))
    assert lines["candidate"] == "20 requests, 1 failed, 1 retried; 20 units judged"
    assert lines["live"] == "20 requests, 0 failed; 20 units judged"
    without = "candidate 90.0% of 20 units; live 100.0% of 20 units — worse p="
    assert lines["without failure or retry"].startswith(without)
    assert "ms of 20 units" in next(words for name, words in lines.items() if name.startswith("latency"))
    assert lines["split at step 1"].startswith("20 of 40 units, 0.5 planned")


def test_a_shadow_has_a_line_for_its_copies_and_one_for_each_test() -> None:
    copies = Mirrored(requests=9, failures=1, units=7, cost_usd=0.5, harm={"latency": 0.25})
    seen = Observation(mirrored=copies, candidate=ArmCounts())
    lines = told(figures_of(SHADOW, at("ramping"), seen, RolloutConfig()))
    assert lines == {"copies": "9 of 7 units, 1 failed (live 0), 0.5 USD", "p harm latency": "0.25"}


def test_judged_copies_stand_beside_their_originals() -> None:
    copies = Mirrored(requests=9, units=7, judged=4, quality=0.5, live_quality=0.75, harm={"quality": 0.25})
    lines = told(figures_of(SHADOW, at("ramping"), Observation(mirrored=copies), RolloutConfig()))
    assert lines["judged good"] == "copies 50.0%, originals 75.0% of 4 pairs"


def test_what_is_not_a_figure_has_no_line() -> None:
    assert lines_of({"reason": "asked for", "by": "ann", "share": 0.1, "seconds": None}) == []
