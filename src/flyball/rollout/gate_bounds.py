"""A measure of the candidate against a fixed threshold.

Cases that were not answered or not scored get the worst score: wrong (at_least), bad (at_most), late (latency).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from flyball.rollout.config import GateRule
from flyball.rollout.gate_clusters import Case, independent, stricter
from flyball.rollout.gate_judged import QUANTILES, Judged, scaled_n, unmeasured
from flyball.rollout.gate_scores import Evidence, Scored
from flyball.statistics.beta import binomial_cdf
from flyball.statistics.classification import Drawn, macro_f1, macro_f1_replicates, method, percentile
from flyball.statistics.intervals import (
    at_least_p_value,
    at_most_p_value,
    clopper_pearson_lower,
    clopper_pearson_upper,
    needed_for_lower,
    needed_for_upper,
    quantile,
)
from flyball.statistics.means import mean_at_least_p_value, mean_at_most_p_value, mean_lower, mean_upper

CLUSTERED_F1 = "macro F1 has no bound here where cases share clusters or carry weights; use accuracy"


def completed(rows: Mapping[str, Scored], size: int, name: str) -> list[Case]:
    """The cases of the whole suite: what has no answer or no score gets the worst one."""
    worst = 1.0 if name == "at_most" else 0.0
    cases = [
        Case(worst if row.error else row.score, row.cluster or f"case {item}", row.weight) for item, row in rows.items()
    ]
    return cases + [Case(worst, f"missing {number}") for number in range(size - len(cases))]


def cases_against(cases: Sequence[Case], name: str, threshold: float, alpha: float) -> Judged:
    """The mean of a suite's cases against a fixed threshold, clusters and weights taken into account."""
    judged = scores_against([case.value for case in cases], name, threshold, alpha)
    lower = name == "at_least"
    return stricter(judged, cases, lower=lower, threshold=threshold, alpha=alpha, good=1.0 if lower else 0.0)


def scores_against(scores: Sequence[float], name: str, threshold: float, alpha: float) -> Judged:
    """A share (exact) or a mean of scores in [0, 1] (betting) against a fixed threshold."""
    n, value, lower = len(scores), math.fsum(scores) / len(scores), name == "at_least"
    if all(score in (0.0, 1.0) for score in scores):
        successes = round(sum(scores))
        method = f"Clopper–Pearson, {successes} of {n}"
        bound = (clopper_pearson_lower if lower else clopper_pearson_upper)(successes, n, alpha)
        p_value = (at_least_p_value if lower else at_most_p_value)(successes, n, threshold)
        needed = (needed_for_lower if lower else needed_for_upper)(value, threshold, alpha)
    elif all(0.0 <= score <= 1.0 for score in scores):
        method = f"betting bound of a mean, n = {n}"
        bound = (mean_lower if lower else mean_upper)(scores, alpha)
        p_value = (mean_at_least_p_value if lower else mean_at_most_p_value)(scores, threshold, alpha)
        needed = scaled_n(n, value, bound, threshold)
    else:
        return Judged(n=n, passed=False, value=value, reason="scores outside 0 to 1 have no bound here")
    return against(name, threshold, value, bound, alpha, method=method, n=n, p_value=p_value, needed=needed)


def against(
    name: str,
    threshold: float,
    value: float,
    bound: float,
    alpha: float,
    *,
    method: str,
    n: int,
    p_value: float,
    needed: int | None,
) -> Judged:
    """A bound beside its threshold, said in words."""
    passed = bound >= threshold if name == "at_least" else bound <= threshold
    side = "lower" if name == "at_least" else "upper"
    relation = ("reaches" if name == "at_least" else "stays at or under") if passed else "does not prove"
    reason = f"{side} bound {bound:.4g} at error {alpha:g} ({method}) {relation} {threshold:g}"
    return Judged(
        n=n,
        passed=passed,
        reason=reason,
        value=value,
        bound=bound,
        p_value=p_value,
        needed_n=None if passed or needed is None else max(needed, n + 1),
    )


def quantile_at_most(rule: GateRule, evidence: Evidence, threshold: float, alpha: float) -> Judged:
    """A latency quantile against a limit: it holds when the share of answers within the limit is at least q."""
    rows = evidence.of(rule.suite, "latency_ms", rule.slice)
    if not rows:
        return unmeasured(rule, evidence)
    q, n = QUANTILES[rule.measure], max(evidence.size(rule.suite, rule.slice), len(rows))
    ordered = sorted([math.inf if row.error else row.score for row in rows.values()] + [math.inf] * (n - len(rows)))
    within = sum(score <= threshold for score in ordered)
    rank = next((k for k in range(math.ceil(q * n), n + 1) if binomial_cdf(k - 1, n, q) >= 1.0 - alpha), None)
    bound = finite(ordered[rank - 1]) if rank else None
    passed = clopper_pearson_lower(within, n, alpha) >= q
    shown = "none" if bound is None else f"{bound:.0f} ms"
    needed = None if passed else needed_for_lower(within / n, q, alpha)
    return Judged(
        n=n,
        passed=passed,
        reason=f"upper bound {shown} at error {alpha:g} ({within} of {n} within {threshold:g} ms, order statistics)",
        value=finite(quantile(ordered, q)),
        bound=bound,
        p_value=at_least_p_value(within, n, q),
        needed_n=None if needed is None else max(needed, n + 1),
    )


def finite(value: float) -> float | None:
    """The value, or None where too many had no answer."""
    return value if math.isfinite(value) else None


def macro_f1_against(
    rows: Mapping[str, Scored], size: int, name: str, threshold: float, alpha: float, *, drawn: Drawn
) -> Judged:
    """Macro F1 by seeded bootstrap; inconclusive when cases are missing, whose labels nobody knows."""
    if not rows or len(rows) < size:
        return Judged(n=len(rows), passed=False, reason=f"{len(rows)} of {size} cases have a label to compare")
    if not independent(completed(rows, size, name)):
        return Judged(n=len(rows), passed=False, reason=CLUSTERED_F1)
    pairs = [(row.expected or "", row.answer) for _, row in sorted(rows.items())]
    value, replicates = macro_f1(Counter(pairs)), macro_f1_replicates(pairs, drawn=drawn)
    lower = name == "at_least"
    bound = percentile(replicates, alpha if lower else 1.0 - alpha)
    beyond = sum(replicate >= threshold if lower else replicate <= threshold for replicate in replicates)
    return against(
        name,
        threshold,
        value,
        min(bound, value) if lower else max(bound, value),
        alpha,
        method=f"{method(len(pairs), drawn)}, n = {len(pairs)}",
        n=len(pairs),
        p_value=(beyond + 1) / (len(replicates) + 1),
        needed=scaled_n(len(pairs), value, bound, threshold),
    )


def from_report(rule: GateRule, evidence: Evidence, name: str, threshold: float, alpha: float) -> Judged:
    """A measure without per-item scores: the report's own interval, where its level is at least what alpha asks."""
    measure = evidence.measured(rule.suite, rule.measure, rule.slice)
    if measure is None or measure.n == 0:
        return unmeasured(rule, evidence)
    tail = (1.0 - measure.level) / 2.0
    if tail > alpha + 1e-12:
        return Judged(
            n=measure.n,
            passed=False,
            value=measure.value,
            reason=f"its interval at level {measure.level:g} is too weak",
        )
    lower = name == "at_least"
    proven_broken = measure.upper < threshold if lower else measure.lower > threshold
    bound = measure.lower if lower else measure.upper
    return against(
        name,
        threshold,
        measure.value,
        bound,
        alpha,
        method=f"the report's interval at level {measure.level:g}, n = {measure.n}",
        n=measure.n,
        p_value=tail if proven_broken else 1.0,
        needed=scaled_n(measure.n, measure.value, bound, threshold),
    )
