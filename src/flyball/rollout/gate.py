"""The gate: values in, a GateDecision out. No evidence, no promotion.

Pass: every rule passes at alpha on its one-sided bound (intersection–union: Berger 1982, Technometrics 24:295; no
correction is needed, since all must pass). Fail: some rule is proven broken, with Holm's correction over the rules.
Else inconclusive, with the sample still needed. A bound decides, never a mean; nothing measured proves nothing, so a
gate that measured nothing at all is inconclusive too, and so is one on cases that training has seen. Without a live
release, rules against it constrain nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import msgspec

from flyball.errors import ConfigError, CorruptionError, InputError
from flyball.records import Check, EvalReport, GateDecision, Verdict, name_of
from flyball.records.canonical import to_plain
from flyball.records.identity import short
from flyball.rollout.config import GateConfig, GateRule, policy_of
from flyball.rollout.gate_judged import Judged
from flyball.rollout.gate_overlap import leak_of, without_proof
from flyball.rollout.gate_rules import comparison, judge
from flyball.rollout.gate_scores import Evidence, evidence
from flyball.statistics.classification import Drawn
from flyball.statistics.multiplicity import holm, spent_share

LIVE_RULES = ("not_worse_than_live", "better_than_live")
RuleName = Literal["at_least", "at_most", "not_worse_than_live", "better_than_live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The live release as it was measured: its report and per-item scores."""

    release: str
    report: EvalReport
    report_name: str
    items: Sequence[Any]


def decide(
    policy: GateConfig,
    *,
    project: str,
    release: str,
    report: EvalReport,
    report_name: str,
    items: Sequence[Any],
    baseline: Baseline | None,
    looks: Mapping[str, int] | None = None,
    drawn: Drawn = "counts",
) -> GateDecision:
    """Whether `release` may ship.

    `looks`: by suite, which candidate in turn this one is; a later one must prove its rules at a smaller error, so that
    all candidates together pass one that should not at most with error alpha. Without it each gets the whole of alpha.
    `drawn`: how the bootstrap of macro F1 draws (statistics/classification.py).

    InputError: the reports do not fit together; CorruptionError: the items are not those of their report.
    """
    if not policy.rules:
        raise ConfigError("the gate has no rules, so nothing could pass it", cure="add gate.rules to flyball.yaml")
    check_report(report, release, project)
    if baseline is not None:
        check_comparable(policy, report, baseline)
    ours = evidence(report, items, drawn=drawn)
    theirs = evidence(baseline.report, baseline.items, drawn=drawn) if baseline else None
    errors = {suite: policy.alpha * spent_share(look) for suite, look in (looks or {}).items()}
    judged = [judged_rule(policy, rule, ours, theirs, errors.get(rule.suite, policy.alpha)) for rule in policy.rules]
    checks = checks_of(policy, judged)
    return GateDecision(
        project=project,
        release=release,
        report=report_name,
        baseline_release=baseline.release if baseline else None,
        baseline_report=baseline.report_name if baseline else None,
        policy=policy_of(policy),
        alpha=policy.alpha,
        checks=checks,
        verdict=verdict_of(checks),
        looks=dict(looks) if looks else None,
    )


def check_report(report: EvalReport, release: str, project: str) -> None:
    """A report on another release or of another project admits nobody."""
    if report.release != release:
        raise InputError(
            f"the report is on release {short(report.release)}, not on {short(release)}", cure="run `flyball evaluate`"
        )
    if report.project != project:
        raise InputError(f"the report is of project {report.project}, not of {project}", cure="run `flyball evaluate`")


def check_comparable(policy: GateConfig, report: EvalReport, baseline: Baseline) -> None:
    """Two reports compare only on the same suites, through the same prompt path."""
    cure = "run `flyball gate`, which measures again what does not compare"
    if baseline.report.release != baseline.release:
        raise InputError(f"the baseline's report is on release {short(baseline.report.release)}", cure=cure)
    if baseline.report.prompt_path != report.prompt_path:
        raise InputError(
            f"live was measured through prompt path {baseline.report.prompt_path}, now it is {report.prompt_path}",
            cure=cure,
        )
    compared = {rule.suite for rule in policy.rules if comparison(rule)[0] in LIVE_RULES}
    theirs = {suite.name: suite.fingerprint for suite in baseline.report.suites}
    for suite in report.suites:
        if suite.name in compared and theirs.get(suite.name) != suite.fingerprint:
            raise InputError(f"live was measured on another version of the suite {suite.name}", cure=cure)
    check_files(compared, report, baseline.report)


def check_files(compared: Set[str], report: EvalReport, live: EvalReport) -> None:
    """One file of scores made elsewhere is not about two releases."""
    theirs = {one.suite: one.sha256 for one in live.elsewhere or ()}
    for one in report.elsewhere or ():
        if one.suite in compared and theirs.get(one.suite) == one.sha256:
            raise InputError(
                f"both releases have the scores of one and the same file {one.file} for the suite {one.suite}",
                cure="score each release apart; where all scores are equal, name the `release` in the file",
            )


def judged_rule(
    policy: GateConfig, rule: GateRule, ours: Evidence, theirs: Evidence | None, alpha: float
) -> Judged | None:
    """The rule on the evidence; None where it compares with live and nothing is live."""
    if theirs is None and comparison(rule)[0] in LIVE_RULES:
        return None
    judged = judge(rule, ours, theirs, alpha)
    leak = leak_of(policy, ours.report, rule)
    return judged if leak is None else without_proof(judged, leak)


def checks_of(policy: GateConfig, judged: Sequence[Judged | None]) -> tuple[Check, ...]:
    """Each rule with its verdict; who is proven broken is decided over all measured rules together."""
    measured = [place for place, one in enumerate(judged) if one is not None and one.n]
    p_values = [one.p_value for one in judged if one is not None and one.n]
    broken = {place for place, is_broken in zip(measured, holm(p_values, policy.alpha), strict=True) if is_broken}
    return tuple(
        check_of(rule, one, is_broken=place in broken)
        for place, (rule, one) in enumerate(zip(policy.rules, judged, strict=True))
    )


def check_of(rule: GateRule, judged: Judged | None, *, is_broken: bool) -> Check:
    """One rule as it is kept."""
    name, threshold = comparison(rule)
    if judged is None:
        judged = Judged(n=0, passed=True, reason="no other release is live to compare with")
    verdict: Verdict = "pass" if judged.passed else "fail" if is_broken else "inconclusive"
    return Check(
        measure=rule.measure,
        suite=f"{rule.suite}/{rule.slice}" if rule.slice else rule.suite,
        rule=cast(RuleName, name),
        threshold=threshold,
        value=judged.value,
        bound=judged.bound,
        n=judged.n,
        verdict=verdict,
        reason=proven_broken(judged.reason, name, threshold) if verdict == "fail" else judged.reason,
        needed_n=judged.needed_n if verdict == "inconclusive" else None,
    )


def proven_broken(reason: str, name: str, threshold: float) -> str:
    """The reason of a rule that is not only unproven but proven not to hold."""
    side = "above" if name == "at_most" else "below"
    if name in LIVE_RULES:
        return f"{reason}: proven to be {'worse' if name == LIVE_RULES[0] else 'not better'} than that"
    said = f"proven to be {side} {threshold:g}"
    unproven = f"does not prove {threshold:g}"
    return reason.replace(unproven, f"and the value is {said}") if unproven in reason else f"{reason}: {said}"


def without_words(decision: GateDecision) -> GateDecision:
    """A decision without the reasons, which are worded by the version that wrote them."""
    return replace(decision, checks=tuple(replace(check, reason="") for check in decision.checks))


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """Fail if any failed, pass if all passed and something was measured, else inconclusive."""
    if any(check.verdict == "fail" for check in checks):
        return "fail"
    if all(check.verdict == "pass" for check in checks) and any(check.n for check in checks):
        return "pass"
    return "inconclusive"


def verify(
    decision: GateDecision, report: EvalReport, items: Sequence[Any], *, baseline: Baseline | None = None
) -> None:
    """Recompute a kept decision from its reports and items; CorruptionError says what differs."""
    if name_of(report) != decision.report:
        raise CorruptionError(
            f"the decision is on report {short(decision.report)}, not on this one", cure="give that one"
        )
    found = (baseline.release, name_of(baseline.report)) if baseline else (None, None)
    if found != (decision.baseline_release, decision.baseline_report):
        raise CorruptionError("the decision compares with another baseline", cure="give the one that it names")
    by_counts = decided_again(decision, report, items, baseline, "counts")
    by_rows = decided_again(decision, report, items, baseline, "rows")
    if without_words(decision) in (without_words(by_counts), without_words(by_rows)):
        return
    pairs = zip(decision.checks, by_counts.checks, strict=False)
    changed = ", ".join(f"{old.suite}.{old.measure} {old.rule}" for old, new in pairs if old != new)
    raise CorruptionError(
        f"recomputing gives {by_counts.verdict} where {decision.verdict} is kept; differing: {changed or 'the head'}",
        cure="do not trust this decision; run `flyball gate` again",
    )


def decided_again(
    decision: GateDecision, report: EvalReport, items: Sequence[Any], baseline: Baseline | None, drawn: Drawn
) -> GateDecision:
    """The decision that the same policy makes today."""
    return decide(
        msgspec.convert(to_plain(decision.policy), GateConfig),
        project=decision.project,
        release=decision.release,
        report=report,
        report_name=decision.report,
        items=items,
        baseline=baseline,
        looks={suite: int(look) for suite, look in (decision.looks or {}).items()},
        drawn=drawn,
    )
