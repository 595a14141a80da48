"""Deployments with their history of transitions and the evidence of each. I/O: reads the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from flyball.console import text_formats
from flyball.console.record_facts import DEPLOYMENT_STATES, Fact, State, link
from flyball.errors import InputError
from flyball.records import JSON, Deployment, DeploymentState, Transition
from flyball.rollout.evidence_text import lines_of
from flyball.rollout.plans import steps_of
from flyball.storage import deployments
from flyball.storage.ledger import Ledger, Stored

ENDED: frozenset[DeploymentState] = frozenset({"live", "rolled_back", "failed", "retired"})
Progress = Literal["done", "current", "ahead", "failed"]
_STEPS = {"canary": "{}", "shadow": "mirrored {}", "b": "A/B {}"}
_NAME = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a deployment's ladder."""

    label: str
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One transition as it is shown: the state entered, when, and why."""

    state: DeploymentState
    tone: State
    step: int
    at_ms: int
    reason: str
    evidence: tuple[Fact, ...]
    where: str = ""  # the step of a plan that it entered


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A deployment and where it stands."""

    deployment: Deployment
    at_ms: int
    state: DeploymentState
    tone: State
    rung: str
    ladder: tuple[Rung, ...]
    passages: tuple[Passage, ...]
    so_far: tuple[Fact, ...] = ()  # how the arms of one under way stand
    seen_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is still under way."""
        return self.state not in ENDED


def read_rollouts(ledger: Ledger, *, route: str | None = None, limit: int = 50) -> list[Rollout]:
    """The newest deployments first; of one route, or of all."""
    found = ledger.find(Deployment, limit=limit if route is None else 4 * limit)
    chosen = [s for s in found if route is None or cast(Deployment, s.record).route == route]
    return [_rollout(ledger, stored, deployments.history(ledger, stored.id)) for stored in chosen[:limit]]


def _rollout(ledger: Ledger, stored: Stored, history: Sequence[tuple[Transition, int]]) -> Rollout:
    deployment = cast(Deployment, stored.record)
    last, at_ms = history[-1] if history else (None, stored.at_ms)
    state: DeploymentState = last.state if last else "requested"
    steps = planned_steps(deployment)
    reached = [transition.state for transition, _ in history]
    kept = deployments.figures_of(ledger, stored.id) if state in ("ramping", "paused") else None
    return Rollout(
        deployment=deployment,
        at_ms=at_ms,
        state=state,
        tone=DEPLOYMENT_STATES[state],
        rung=_where(state, last.step if last else 0, steps),
        ladder=ladder(state, last.step if last else 0, steps, reached),
        passages=tuple(_passage(transition, moment, steps) for transition, moment in history),
        so_far=_facts(kept[0]) if kept else (),
        seen_ms=kept[1] if kept else None,
    )


def planned_steps(deployment: Deployment) -> tuple[str, ...]:
    """The steps between started and live, as a person reads them; none where the plan cannot be read."""
    try:
        return tuple(_STEPS[step.variant].format(text_formats.percent(step.share, 0)) for step in steps_of(deployment))
    except InputError:
        return ()


def _where(state: DeploymentState, step: int, steps: Sequence[str]) -> str:
    if state in ("ramping", "paused") and steps:
        at = min(step, len(steps) - 1)
        return f"{steps[at]} ({at + 1} of {len(steps)})"
    return "in progress" if state not in ENDED else text_formats.words(state)


def ladder(
    state: DeploymentState, step: int, steps: Sequence[str], reached: Sequence[DeploymentState]
) -> tuple[Rung, ...]:
    """The steps from the request to live: done, current, ahead, or where it failed."""
    labels = ["Requested", "Starting", *steps, "Live"]
    if state == "live" or (state == "retired" and "live" in reached):
        return tuple(Rung(label=label, progress="done") for label in labels)
    at = _position(state, step, len(steps), reached)
    mark: Progress = "failed" if state in ("rolled_back", "failed") else "current"
    return tuple(
        Rung(label=label, progress="done" if i < at else mark if i == at else "ahead") for i, label in enumerate(labels)
    )


def _position(state: DeploymentState, step: int, steps: int, reached: Sequence[DeploymentState]) -> int:
    if "live" in reached:
        return 2 + steps
    if state == "ramping" or "ramping" in reached:
        return 2 + min(step, max(steps - 1, 0)) if steps else 1
    return 1 if state == "starting" or "starting" in reached else 0


def _passage(transition: Transition, at_ms: int, steps: Sequence[str]) -> Passage:
    evidence = dict(transition.evidence)
    reason = evidence.pop("reason", "")
    ramping = transition.state == "ramping" and transition.step < len(steps)
    return Passage(
        state=transition.state,
        tone=DEPLOYMENT_STATES[transition.state],
        step=transition.step,
        at_ms=at_ms,
        reason=str(reason or ""),
        evidence=(*(_fact(key, value) for key, value in evidence.items() if _is_name(value)), *_facts(evidence)),
        where=steps[transition.step] if ramping else "",
    )


def _facts(evidence: Mapping[str, JSON]) -> tuple[Fact, ...]:
    """The figures, in words."""
    plain = {key: value for key, value in evidence.items() if not _is_name(value)}
    told = [Fact(label=what, value=how) for what, how in lines_of(plain)]
    by = [Fact(label="by", value=str(plain["by"]))] if plain.get("by") else []
    return (*by, *told)


def _is_name(value: JSON) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _fact(key: str, value: JSON) -> Fact:
    """A piece of evidence; a record's name leads to its page."""
    if _is_name(value):
        return Fact(label=text_formats.words(key), value=text_formats.brief(value), href=link(value))
    label, told = text_formats.named(key, value)
    return Fact(label=label, value=told)
