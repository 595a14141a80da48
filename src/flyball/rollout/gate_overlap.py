"""A rule on cases that the training rows hold proves nothing: a model may know their answers by heart. Pure."""

from __future__ import annotations

from dataclasses import replace

from flyball.records import EvalReport, SuiteOverlap
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate_judged import QUANTILES, Judged

UNTOUCHED = ("errors", *QUANTILES)
"""Measures that no case makes better by having been trained on."""


def leak_of(policy: GateConfig, report: EvalReport, rule: GateRule) -> str | None:
    """Why the rule's suite overlaps the training rows more than the policy allows; None where it does not."""
    found = next((one for one in report.overlaps or () if one.suite == rule.suite), None)
    if found is None or not found.cases or rule.measure in UNTOUCHED:
        return None
    leaked = found.equal + found.passage
    if leaked > policy.leaked_at_most * found.cases:
        return _reason(found, leaked, "in the training rows", "leaked_at_most", policy.leaked_at_most)
    if found.near > policy.near_at_most * found.cases:
        return _reason(found, found.near, "near duplicates of training rows", "near_at_most", policy.near_at_most)
    return None


def without_proof(judged: Judged, leak: str) -> Judged:
    """The same evidence, which may still prove a rule broken but never kept."""
    return replace(judged, passed=False, needed_n=None, reason=f"{leak}; {judged.reason}")


def _reason(found: SuiteOverlap, count: int, what: str, setting: str, most: float) -> str:
    return f"{count} of {found.cases} cases of {found.suite} are {what} (gate.{setting}: {most:g})"
