"""What a rule of a gate says: a value, the bound that decides, and how sure a no would be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flyball.rollout.config import GateRule
from flyball.rollout.gate_scores import Evidence

QUANTILES = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One rule's evidence: `p_value` is small when the rule is proven broken."""

    n: int
    passed: bool
    reason: str
    value: float | None = None
    bound: float | None = None
    p_value: float = 1.0
    needed_n: int | None = None


def scaled_n(n: int, value: float, bound: float, threshold: float) -> int | None:
    """Items after which the bound would reach the threshold: its distance shrinks with the root of n."""
    room = abs(value - threshold)
    if room == 0.0 or (bound < value) != (threshold < value):
        return None
    return math.ceil(n * ((value - bound) / room) ** 2)


def unmeasured(rule: GateRule, evidence: Evidence) -> Judged:
    """Nothing measured proves nothing; the reason names what was."""
    known = sorted({f"{m.suite}.{m.name}" for m in evidence.report.measures if m.slice is None})
    return Judged(n=0, passed=False, reason=f"{rule.suite}.{rule.measure} was not measured (only {', '.join(known)})")
