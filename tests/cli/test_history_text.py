"""The history of deployments in words: what was asked, what became of it, and nothing that did not happen."""

from __future__ import annotations

from typing import Any

import click

from flyball.cli.history import history_text


def row(*transitions: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    made = [{"state": state, "step": 0, "evidence": evidence, "at_ms": 0} for state, evidence in transitions]
    base = {"id": "one", "route": "shop", "release": "a" * 64, "decision": "d" * 64, "strategy": "blue-green"}
    told = {"requested_by": "ann", "reason": "", "serving": False, "steps": [], "now": None}
    return {**base, **told, "state": transitions[-1][0], "transitions": made, **more}


def words(*rows: dict[str, Any], whole: bool = False) -> str:
    return click.unstyle(history_text(rows, whole=whole))


def test_a_deployment_that_control_refused_says_why_and_claims_no_passed_gate() -> None:
    text = words(row(("failed", {"reason": "its gate decision is fail"})))
    assert "failed         its gate decision is fail" in text
    assert "passed" not in text and "on gate decision" not in text


def test_a_request_names_its_gate_decision_and_a_step_its_reason_and_who_took_it() -> None:
    text = words(
        row(("requested", {}), ("paused", {"reason": "undecided"}), ("live", {"reason": "it is good", "by": "bea"}))
    )
    assert "requested      on gate decision dddddddddddd" in text
    assert "paused         undecided" in text
    assert "live           it is good (by bea)" in text
    assert "by ann" in text


def test_a_step_shows_the_counts_of_both_arms_and_the_worst_p_values() -> None:
    figures = {"candidate_requests": 90, "candidate_failures": 1, "live_requests": 800, "live_failures": 4}
    tests = {
        "p_harm_cost": 0.9,
        "p_harm_latency": 0.2,
        "p_worse_by_margin_cost": 0.01,
        "p_worse_by_margin_quality": 0.3,
    }
    text = words(row(("requested", {}), ("rolled_back", {"reason": "asked for", **figures, **tests})))
    assert "it: 90 requests, 1 failed; live: 800 requests, 4 failed" in text
    assert "latency worse: p=0.2 (one that is no worse looks this bad in up to 20 of 100 rollouts)" in text
    assert "quality within the margin: p=0.3 (one that is worse by the margin looks this good in up to 30" in text


def test_no_deployment_at_all_says_how_to_get_one() -> None:
    assert "flyball run" in words()
