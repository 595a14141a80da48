"""What decided, as numbers: the check of a gate, the measure of a report, the loss of a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flyball.console import text_formats
from flyball.records import Check, DatasetVersion, EvalReport, GateDecision, Measure, TrainingRun

RULES: Mapping[str, Callable[[float], str]] = {
    "at_least": lambda threshold: f"at least {threshold:g}",
    "at_most": lambda threshold: f"at most {threshold:g}",
    "not_worse_than_live": lambda threshold: f"not worse than live by {threshold:g}",
    "better_than_live": lambda threshold: f"better than live by {threshold:g}",
}


def rule(check: Check) -> str:
    """What a check demands."""
    return RULES[check.rule](check.threshold)


def slack(check: Check) -> float:
    """How far the bound lies on the good side of what was demanded; negative when it does not hold."""
    if check.bound is None:
        return float("inf") if check.verdict == "pass" else float("-inf")
    match check.rule:
        case "at_most":
            return check.threshold - check.bound
        case "not_worse_than_live":
            return check.bound + check.threshold
    return check.bound - check.threshold


def deciding(decision: GateDecision) -> Check | None:
    """The check that decided: the one with the verdict of the whole whose bound has the least room."""
    candidates = [check for check in decision.checks if check.verdict == decision.verdict]
    return min(candidates, key=slack, default=None)


def comparison(check: Check) -> str:
    """The bound beside what it had to reach, such as `0.862 ≥ 0.6`; a difference to live beside minus the margin."""
    if check.bound is None:
        return "not measured"
    needed = -check.threshold if check.rule == "not_worse_than_live" else check.threshold
    if check.rule == "at_most":
        sign = "≤" if check.bound <= needed else ">"
    else:
        sign = "≥" if check.bound >= needed else "<"
    return f"{check.bound:.4g} {sign} {needed:g}".replace("-", "−")


def bound_sentence(check: Check) -> str:
    """The bound that decided, in one line."""
    what = f"{text_formats.words(check.measure)} on {check.suite}, {rule(check)}"
    if check.bound is None:
        return f"{what}: {check.reason}"
    side = "upper" if check.rule == "at_most" else "lower"
    return f"{what}: {side} bound {comparison(check)}, n {text_formats.count(check.n)}"


def exact_match(report: EvalReport) -> Measure | None:
    """The measure that stands for the whole report: exact match on the test suite, else its first."""
    ranked = sorted(
        (m for m in report.measures if m.slice is None), key=lambda m: (m.name != "exact_match", m.suite != "test")
    )
    return ranked[0] if ranked else None


def loss(run: TrainingRun) -> tuple[str, float] | None:
    """The loss that stands for a training run: held-out before training, with its name."""
    names = sorted(name for name in run.metrics if "loss" in name)
    names.sort(key=lambda name: not any(word in name for word in ("valid", "eval", "held")))
    return (names[0], run.metrics[names[0]]) if names else None


def rows_of(dataset: DatasetVersion) -> int:
    """Rows in all splits together."""
    return sum(split.rows for split in dataset.splits)


def number(measure: Measure, value: float) -> str:
    """A measured value: in percent where it is a proportion."""
    return text_formats.percent(value) if measure.successes is not None else f"{value:.4g}"
