"""What to do about a gate that did not pass, by whether the value itself or only its bound misses the threshold. Pure.

More cases narrow the bound and leave the value where it is: they help only where the value holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyball.records import Check, GateDecision, Verdict

BETTER = (
    "more test rows do not change that: train on more or better rows or from another base model (train.base), or set "
    "gate.rules to a threshold that the task warrants"
)
LEAKS = ("gate.leaked_at_most", "gate.near_at_most")
"""Settings that a check names where its suite overlaps the training rows."""
LEAKED = "out of the suite or out of data.sources (`leaked` in report.json names them)"
PROVEN = "train on more or better rows or from another base model (train.base), or change gate.rules"


def gate_cure(decision: GateDecision) -> str:
    """What to change, then `flyball run`; empty where the gate passed."""
    return "" if decision.verdict == "pass" else cure_of(decision.checks, decision.verdict)


def cure_of(checks: Sequence[Check], verdict: Verdict) -> str:
    """What to change for the checks that have this verdict; a value that misses is told before a bound that does."""
    held = [check for check in checks if check.verdict == verdict]
    measured = [check for check in held if check.n and check.value is not None]
    if verdict == "fail":
        return f"{PROVEN}; then `flyball run`"
    if leaked := [check for check in held if any(setting in check.reason for setting in LEAKS)]:
        return f"take the cases of {leaked[0].suite} that training has seen {LEAKED}; then `flyball run`"
    if missed := [check for check in measured if not value_holds(check)]:
        return f"{_value(missed[0])}: {BETTER}; then `flyball run`"
    if not measured:
        return "make evaluate.suites give what gate.rules ask for; then `flyball run`"
    needed = max((check.needed_n or 0 for check in measured), default=0)
    most = max(measured, key=lambda check: check.needed_n or 0)
    cases = f"about {needed:,} cases would probably decide it" if needed else "more cases may decide it"
    return (
        f"{_value(most)} holds and its bound does not: {cases} (now {most.n:,}): add test rows, or loosen gate.rules; "
        "then `flyball run`"
    )


def value_holds(check: Check) -> bool:
    """Whether the estimate itself, without its uncertainty, satisfies the rule."""
    if check.value is None:
        return False
    if check.rule == "at_most":
        return check.value <= check.threshold
    if check.rule == "at_least":
        return check.value >= check.threshold
    return check.value > (-check.threshold if check.rule == "not_worse_than_live" else check.threshold)


def _value(check: Check) -> str:
    shown = f"{check.suite}.{check.measure} = {check.value:.4g}"
    return shown if value_holds(check) else f"{shown} misses {check.rule.replace('_', ' ')} {check.threshold:g}"
