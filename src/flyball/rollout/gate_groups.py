"""A difference between groups, or a stereotype score, against a fixed threshold: recomputed from the item scores.

The report's interval has one level; a gate that spends alpha over candidates needs others.
"""

from __future__ import annotations

from flyball.rollout.config import GateRule
from flyball.rollout.gate_bounds import against
from flyball.rollout.gate_judged import Judged, scaled_n, unmeasured
from flyball.rollout.gate_scores import Evidence
from flyball.statistics.fairness import GAPS
from flyball.statistics.group_gaps import AMPLIFICATION, FAVOURABLE, INDICES, Comparison, Groups, group_case
from flyball.statistics.stereotype_scores import DIRECTION, StereotypeScore, stereotype_score

STEREOTYPES = {"bias_score_ambiguous": "ambiguous", "bias_score_disambiguated": "disambiguated"}
"""Measures over the questions of one context."""
SIGNED = frozenset((*STEREOTYPES, AMPLIFICATION))
"""Measures that may be negative."""
UNBOUNDED = frozenset(INDICES)
"""Measures that may exceed 1."""
GROUP_MEASURES = frozenset((*GAPS, *INDICES, *STEREOTYPES))


def groups_against(rule: GateRule, evidence: Evidence, name: str, threshold: float, alpha: float) -> Judged:
    """The measure's bound at alpha; a case that was not scored has no group, so nothing is proven without it."""
    level = 1.0 - 2.0 * alpha
    found = stereotypes(rule, evidence, level) if rule.measure in STEREOTYPES else gaps(rule, evidence, level)
    if found is None and (measure := evidence.measured(rule.suite, rule.measure, rule.slice)) is not None:
        return Judged(n=measure.n, passed=False, value=measure.value, reason=f"no interval at error {alpha:g}")
    if found is None:
        return unmeasured(rule, evidence)
    if isinstance(found, Judged):
        return found
    lower = name == "at_least"
    bound = found.lower if lower else found.upper
    broken = found.upper < threshold if lower else found.lower > threshold
    return against(
        name,
        threshold,
        found.value,
        bound,
        alpha,
        method=f"groups resampled by their counts, n = {found.n}",
        n=found.n,
        p_value=alpha if broken else 1.0,
        needed=scaled_n(found.n, found.value, bound, threshold),
    )


def gaps(rule: GateRule, evidence: Evidence, level: float) -> Comparison | Judged | None:
    """A comparison of the groups that the rule's slice names."""
    rows, size = evidence.of(rule.suite, FAVOURABLE), evidence.size(rule.suite)
    if rows and len(rows) < size:
        return Judged(n=len(rows), passed=False, reason=f"{len(rows)} of {size} cases were scored")
    cases = [group_case(row.groups, row.expected, row.answer, row.cluster) for row in rows.values()]
    groups = Groups(cases, knows_truth=all(row.expected is not None for row in rows.values()))
    return groups.rule(rule.measure, rule.slice, level) if rows else None


def stereotypes(rule: GateRule, evidence: Evidence, level: float) -> StereotypeScore | None:
    """The score of one context, of the whole suite or of a slice."""
    context = STEREOTYPES[rule.measure]
    rows = [row for row in evidence.of(rule.suite, DIRECTION, rule.slice).values() if row.groups["context"] == context]
    return stereotype_score(context, [(row.answer, row.cluster) for row in rows], level) if rows else None
