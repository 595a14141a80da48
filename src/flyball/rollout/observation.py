"""What the rollout machine looks at, and the figures of it that a transition keeps as its evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flyball.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """What one arm has seen since the deployment began: requests, and the units that were judged."""

    requests: int = 0
    failures: int = 0
    units: int = 0
    good: int = 0
    failed_units: int = 0
    retried: int = 0  # requests that needed a further attempt and did not fail in the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """What a shadow's copies of requests showed beside the live ones, and what they cost."""

    requests: int = 0
    failures: int = 0
    live_failures: int = 0
    first_ten_failures: int = 0
    units: int = 0
    cost_usd: float = 0.0
    judged: int = 0  # units of which both answers were judged
    quality: float | None = None  # mean verdict on the copies among these, and on their originals
    live_quality: float | None = None
    harm: Mapping[str, float] = field(default_factory=dict)
    not_worse: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that the machine looks at; p-values are anytime-valid, so looking often costs nothing."""

    refusal: str | None = None  # why the control plane does not admit it: no passing gate, erased, no memory
    engine: Literal["absent", "starting", "ready", "failed"] = "absent"
    engine_problem: str | None = None
    engine_down: str | None = None  # it was ready, and none of its engines answers now
    candidate: ArmCounts = field(default_factory=ArmCounts)
    live: ArmCounts = field(default_factory=ArmCounts)
    first_ten_failures: int = 0
    outage: bool = False  # its requests fail more often than usual now, and those of live do not (outages.py)
    failing_since_ms: int | None = None  # when the first failure of the present burst began
    harm: Mapping[str, float] = field(default_factory=dict)  # measure → p of "not worse"
    not_worse: Mapping[str, float] = field(default_factory=dict)  # measure → p of "worse by the margin"
    sample_ratio: float = 1.0
    doubts: tuple[str, ...] = ()  # why its figures cannot be trusted, each a reason to pause
    figures: Mapping[str, JSON] = field(default_factory=dict)  # what the evidence of a transition shows besides
    mirrored: Mirrored = field(default_factory=Mirrored)
    fallback_hot: bool = False  # the release before still has engines that are ready
    moved_on: bool = False  # what is live now is not what it was to replace
    replaced: bool = False  # another release is live now
    replaced_at_ms: int = 0
    idle: bool = False  # no request is in work on its engines


def figures(seen: Observation, *, shadow: bool, alpha: float) -> dict[str, JSON]:
    """The counts and proofs behind a decision; none before there was traffic."""
    if shadow:
        return _mirrored(seen.mirrored) | {"alpha": alpha}
    if not seen.candidate.requests:
        return {}
    arms = {"candidate": seen.candidate, "live": seen.live}
    counts = {
        f"{name}_{what}": getattr(arm, what)
        for name, arm in arms.items()
        for what in ("requests", "failures", "retried", "units", "good")
    }
    ratio = {"p_sample_ratio": _short(seen.sample_ratio), "alpha": alpha}
    return {**counts, **_proofs(seen.harm, seen.not_worse), **ratio, **seen.figures}


def _mirrored(seen: Mirrored) -> dict[str, JSON]:
    if not seen.requests:
        return {"mirrored_usd": _short(seen.cost_usd)} if seen.cost_usd else {}
    return {
        "mirrored_requests": seen.requests,
        "mirrored_failures": seen.failures,
        "live_failures": seen.live_failures,
        "mirrored_units": seen.units,
        "mirrored_usd": _short(seen.cost_usd),
        **(_verdicts(seen) if seen.judged else {}),
        **_proofs(seen.harm, seen.not_worse),
    }


def _verdicts(seen: Mirrored) -> dict[str, JSON]:
    means = {"mirrored_quality": seen.quality, "live_quality": seen.live_quality}
    return {"mirrored_judged": seen.judged, **{name: _short(mean) for name, mean in means.items() if mean is not None}}


def _proofs(harm: Mapping[str, float], not_worse: Mapping[str, float]) -> dict[str, JSON]:
    proofs: dict[str, JSON] = {f"p_harm_{name}": _short(p) for name, p in harm.items()}
    return proofs | {f"p_worse_by_margin_{name}": _short(p) for name, p in not_worse.items()}


def _short(p: float) -> float:
    return float(f"{p:.3g}")
