"""One rule of a gate: which comparison it makes, and what the evidence says of it."""

from __future__ import annotations

from flyball.errors import ConfigError
from flyball.rollout.config import GateRule
from flyball.rollout.gate_bounds import (
    cases_against,
    completed,
    from_report,
    macro_f1_against,
    quantile_at_most,
    scores_against,
)
from flyball.rollout.gate_groups import GROUP_MEASURES, groups_against
from flyball.rollout.gate_judged import QUANTILES, Judged, unmeasured
from flyball.rollout.gate_pairs import against_live
from flyball.rollout.gate_scores import Evidence

ERRORS = "errors"
"""The share of a suite's cases without an answer; every other measure counts them as wrong."""
RULES = ("at_least", "at_most", "not_worse_than_live", "better_than_live")


def comparison(rule: GateRule) -> tuple[str, float]:
    """(name, threshold) of the one comparison that the rule makes; ConfigError when it makes none or several."""
    found = [(name, float(getattr(rule, name))) for name in RULES if getattr(rule, name) is not None]
    if len(found) != 1:
        raise ConfigError(
            f"the gate rule on {rule.suite}.{rule.measure} makes {len(found)} comparisons",
            cure=f"give it exactly one of {', '.join(RULES)}",
        )
    return found[0]


def judge(rule: GateRule, evidence: Evidence, live: Evidence | None, alpha: float) -> Judged:
    """The rule on the candidate's evidence, and on live's where it compares the two."""
    name, threshold = comparison(rule)
    if name in ("not_worse_than_live", "better_than_live"):
        assert live is not None
        least = -threshold if name == "not_worse_than_live" else threshold
        return against_live(rule, evidence, live, least, alpha)
    if rule.measure in QUANTILES:
        if name != "at_most":
            raise ConfigError(f"{rule.measure} cannot be {name}", cure=f"use at_most for {rule.measure}")
        return quantile_at_most(rule, evidence, threshold, alpha)
    if rule.measure == ERRORS:
        if name != "at_most":
            raise ConfigError(f"{ERRORS} cannot be {name}", cure=f"use at_most for {ERRORS}")
        scores = evidence.errors(rule.suite, rule.slice)
        return scores_against(scores, name, threshold, alpha) if scores else unmeasured(rule, evidence)
    if rule.measure == "macro_f1":
        rows, size = evidence.of(rule.suite, "accuracy", rule.slice), evidence.size(rule.suite, rule.slice)
        return macro_f1_against(rows, size, name, threshold, alpha, drawn=evidence.drawn)
    if rule.measure in GROUP_MEASURES:
        return groups_against(rule, evidence, name, threshold, alpha)
    rows = evidence.of(rule.suite, rule.measure, rule.slice)
    if not rows:
        return from_report(rule, evidence, name, threshold, alpha)
    size = evidence.size(rule.suite, rule.slice, measure=rule.measure)
    return cases_against(completed(rows, size, name), name, threshold, alpha)
