"""Figures of a rollout in words that a person understands."""

from __future__ import annotations

from test_state_machine import CANARY, SHADOW, at

from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.evidence_text import WITHIN, chance, lines_of
from flyball.rollout.observation import ArmCounts, Mirrored, Observation
from flyball.rollout.state_machine import figures_of
from record_samples import request_record


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
    without = "candidate 90.0% of 20 units; live 100.0% of 20 units — worse: p="
    assert lines["without failure or retry"].startswith(without)
    assert "ms of 20 units" in next(words for name, words in lines.items() if name.startswith("latency"))
    assert lines["split at step 1"].startswith("20 of 40 units, 0.5 planned: p=")


def test_a_shadow_has_a_line_for_its_copies_and_one_for_each_test() -> None:
    copies = Mirrored(requests=9, failures=1, units=7, cost_usd=0.5, harm={"latency": 0.25})
    seen = Observation(mirrored=copies, candidate=ArmCounts())
    lines = told(figures_of(SHADOW, at("ramping"), seen, RolloutConfig()))
    assert lines == {
        "copies": "9 of 7 units, 1 failed (live 0), 0.5 USD",
        "latency worse": "p=0.25 (one that is no worse looks this bad in up to 25 of 100 rollouts)",
    }


def test_a_small_p_value_is_said_to_be_rare_and_one_of_a_split_to_be_chance() -> None:
    assert chance(WITHIN, 3e-7) == (
        "p=3e-07 (one that is worse by the margin looks this good in less than 1 of 100 rollouts)"
    )
    assert chance("", 0.5) == "p=0.5 (chance alone does as much in up to 50 of 100)"


def test_judged_copies_stand_beside_their_originals() -> None:
    copies = Mirrored(requests=9, units=7, judged=4, quality=0.5, live_quality=0.75, harm={"quality": 0.25})
    lines = told(figures_of(SHADOW, at("ramping"), Observation(mirrored=copies), RolloutConfig()))
    assert lines["judged good"] == "copies 50.0%, originals 75.0% of 4 pairs"


def test_what_is_not_a_figure_has_no_line() -> None:
    assert lines_of({"reason": "asked for", "by": "ann", "share": 0.1, "seconds": None}) == []
