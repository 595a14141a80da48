"""Deployments with their history of transitions and the evidence of each. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from flyball.console import wording
from flyball.console.describing import DEPLOYMENT_STATES, Fact, State
from flyball.records import JSON, Deployment, DeploymentState, Transition
from flyball.storage import deployments
from flyball.storage.ledger import Ledger, Stored

ENDED: frozenset[DeploymentState] = frozenset({"live", "rolled_back", "failed", "retired"})
Progress = Literal["done", "current", "ahead", "failed"]


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
    evidence: tuple[Fact, ...]


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

    @property
    def is_open(self) -> bool:
        """Whether it is still under way."""
        return self.state not in ENDED


def read_rollouts(ledger: Ledger, *, route: str | None = None, limit: int = 50) -> list[Rollout]:
    """The newest deployments first; of one route, or of all."""
    found = ledger.find(Deployment, limit=limit if route is None else 4 * limit)
    chosen = [s for s in found if route is None or cast(Deployment, s.record).route == route]
    return [_rollout(stored, deployments.history(ledger, stored.id)) for stored in chosen[:limit]]


def _rollout(stored: Stored, history: Sequence[tuple[Transition, int]]) -> Rollout:
    deployment = cast(Deployment, stored.record)
    last, at_ms = history[-1] if history else (None, stored.at_ms)
    state: DeploymentState = last.state if last else "requested"
    shares = planned_shares(deployment.plan) if deployment.strategy == "canary" else ()
    reached = [transition.state for transition, _ in history]
    return Rollout(
        deployment=deployment,
        at_ms=at_ms,
        state=state,
        tone=DEPLOYMENT_STATES[state],
        rung=_where(state, last.step if last else 0, shares),
        ladder=ladder(state, last.step if last else 0, shares, reached),
        passages=tuple(_passage(transition, moment) for transition, moment in history),
    )


def planned_shares(plan: Mapping[str, JSON]) -> tuple[float, ...]:
    """The shares of a canary's plan, if it has any."""
    for key in ("steps", "canary_steps", "shares"):
        steps = plan.get(key)
        if isinstance(steps, list | tuple) and all(isinstance(step, int | float) for step in steps):
            return tuple(float(step) for step in steps)
    return ()


def _where(state: DeploymentState, step: int, shares: Sequence[float]) -> str:
    if state == "ramping" and shares:
        at = min(step, len(shares) - 1)
        return f"{wording.percent(shares[at], 0)} ({at + 1} of {len(shares)})"
    return "in progress" if state not in ENDED and state != "paused" else wording.words(state)


def ladder(
    state: DeploymentState, step: int, shares: Sequence[float], reached: Sequence[DeploymentState]
) -> tuple[Rung, ...]:
    """The steps from the request to live: done, current, ahead, or where it failed."""
    labels = ["Requested", "Starting", *(wording.percent(share, 0) for share in shares), "Live"]
    if state == "live" or (state == "retired" and "live" in reached):
        return tuple(Rung(label=label, progress="done") for label in labels)
    at = _position(state, step, len(shares), reached)
    mark: Progress = "failed" if state in ("rolled_back", "failed") else "current"
    return tuple(
        Rung(label=label, progress="done" if i < at else mark if i == at else "ahead") for i, label in enumerate(labels)
    )


def _position(state: DeploymentState, step: int, shares: int, reached: Sequence[DeploymentState]) -> int:
    if "live" in reached:
        return 2 + shares
    if state == "ramping" or "ramping" in reached:
        return 2 + min(step, max(shares - 1, 0)) if shares else 1
    return 1 if state == "starting" or "starting" in reached else 0


def _passage(transition: Transition, at_ms: int) -> Passage:
    evidence = tuple(
        Fact(label=wording.words(key), value=wording.plain(value)) for key, value in transition.evidence.items()
    )
    return Passage(
        state=transition.state,
        tone=DEPLOYMENT_STATES[transition.state],
        step=transition.step,
        at_ms=at_ms,
        evidence=evidence,
    )
