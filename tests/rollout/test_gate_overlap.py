"""No rule passes on cases that the training rows hold."""

from __future__ import annotations

import dataclasses

import pytest

from flyball.evaluation.item_scores import ItemScore, items_hash
from flyball.monitoring.gate_cures import gate_cure
from flyball.records import EvalReport, GateDecision, SuiteOverlap, SuiteRef, canonical_bytes, name_of, parse
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import decide, verify

N = 1_000
RULES = (GateRule(measure="exact_match", suite="cases", at_least=0.8),)


def scores(right: int) -> list[ItemScore]:
    return [ItemScore(suite="cases", item=f"{k:04d}", measure="exact_match", score=float(k < right)) for k in range(N)]


def report_with(items: list[ItemScore], **counts: int) -> EvalReport:
    found = SuiteOverlap(suite="cases", cases=N, **({"equal": 0, "passage": 0, "near": 0} | counts))
    return EvalReport(
        project="shop",
        release="a" * 64,
        dataset=None,
        suites=(SuiteRef(name="cases", fingerprint="f" * 64, items=N),),
        measures=(),
        items_hash=items_hash(items),
        failures=0,
        engine="llama.cpp",
        prompt_path=2,
        overlaps=(found,),
    )


def gate(policy: GateConfig, report: EvalReport, items: list[ItemScore]) -> GateDecision:
    name = name_of(report)
    made = decide(policy, project="shop", release="a" * 64, report=report, report_name=name, items=items, baseline=None)
    verify(made, report, items)
    return made


@pytest.mark.parametrize(
    ("counts", "setting"),
    [({"equal": 1}, "leaked_at_most: 0"), ({"passage": 1}, "leaked_at_most: 0"), ({"near": 101}, "near_at_most: 0.1")],
)
def test_a_leaked_suite_is_inconclusive_with_the_reason_and_the_cure(counts: dict[str, int], setting: str) -> None:
    items = scores(990)
    decision = gate(GateConfig(rules=RULES), report_with(items, **counts), items)
    assert decision.verdict == "inconclusive"
    assert setting in decision.checks[0].reason
    assert gate_cure(decision).startswith("take the cases of cases that training has seen out of the suite")
    assert decision.checks[0].needed_n is None and decision.checks[0].value == 0.99


def test_what_is_below_the_limits_passes_and_the_limits_can_be_set() -> None:
    items = scores(990)
    assert gate(GateConfig(rules=RULES), report_with(items, near=100), items).verdict == "pass"
    assert gate(GateConfig(rules=RULES, leaked_at_most=0.01), report_with(items, equal=10), items).verdict == "pass"
    assert (
        gate(GateConfig(rules=RULES, near_at_most=0.01), report_with(items, near=11), items).verdict == "inconclusive"
    )


def test_a_release_that_is_bad_even_on_leaked_cases_fails() -> None:
    items = scores(500)
    assert gate(GateConfig(rules=RULES), report_with(items, equal=10), items).verdict == "fail"


def test_how_many_requests_failed_is_no_matter_of_leaks() -> None:
    items = scores(990)
    rules = (GateRule(measure="errors", suite="cases", at_most=0.02),)
    assert gate(GateConfig(rules=rules), report_with(items, equal=10), items).verdict == "pass"


def test_records_and_policies_of_before_keep_their_bytes() -> None:
    items = scores(990)
    report = report_with(items, equal=1)
    assert parse(canonical_bytes(report), EvalReport) == report
    before = dataclasses.replace(report, overlaps=None)
    assert b"overlaps" not in canonical_bytes(before)
    assert "leaked_at_most" not in gate(GateConfig(rules=RULES), before, items).policy
    kept = gate(GateConfig(rules=RULES, leaked_at_most=0.2), report, items).policy
    assert kept["leaked_at_most"] == 0.2 and "near_at_most" not in kept
