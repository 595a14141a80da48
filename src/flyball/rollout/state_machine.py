"""The rollout state machine: what a deployment does next, given its history and what was observed. Pure.

    requested ─► starting ─► ramping (step by step) ─► live ─► retired
        │            │          │      ▲    │            │
        └► failed ◄──┘          ▼      │    ▼            ▼
                             rolled_back ◄─ paused    rolled_back, while the release before is still hot

Nothing moves on a mean or on silence: a step needs units that were judged, going live needs proof that every measure
is at most the margin worse, and neither happens without traffic. What is certain acts at once: an engine that cannot
start or that dies over and over, or requests that fail one after the other.

What a ramping step means is the plan's: a shadow leads on to the next step when its copies show no harm, never to live;
a test of two ends by a person's choice, or when one of the two fails more; a canary goes live on proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from flyball.records import JSON, Deployment, DeploymentState, Transition
from flyball.records.identity import short
from flyball.rollout.config import RolloutConfig
from flyball.rollout.observation import Observation, figures
from flyball.rollout.plans import Step, Variant, steps_of

History = Sequence[tuple[Transition, int]]
ENDED: frozenset[DeploymentState] = frozenset({"failed", "rolled_back", "retired"})
LEGAL: Mapping[DeploymentState, frozenset[DeploymentState]] = {
    "requested": frozenset({"starting", "failed", "rolled_back"}),
    "starting": frozenset({"ramping", "live", "failed", "rolled_back"}),
    "ramping": frozenset({"ramping", "live", "paused", "rolled_back"}),
    "paused": frozenset({"ramping", "live", "rolled_back"}),
    "live": frozenset({"rolled_back", "retired"}),
    "retired": frozenset(),
    "rolled_back": frozenset(),
    "failed": frozenset(),
}
RATIO_ALPHA = 0.001
"""Of the sample-ratio test: it is a smoke detector, and a false one would stop a good release."""


def advance(
    deployment: Deployment, history: History, observation: Observation, config: RolloutConfig, now_ms: int
) -> Transition | None:
    """The next transition with its evidence; None while there is nothing to do."""
    scene = MachineInput(deployment, history, observation, config, now_ms)
    return _DECIDE[scene.state](scene)


def figures_of(
    deployment: Deployment, history: History, observation: Observation, config: RolloutConfig
) -> dict[str, JSON]:
    """How the arms of a deployment stand: the figures that a transition would keep as its evidence."""
    return MachineInput(deployment, history, observation, config, 0).figures()


class MachineInput:
    """One look at one deployment."""

    def __init__(
        self, deployment: Deployment, history: History, observation: Observation, config: RolloutConfig, now_ms: int
    ) -> None:
        self.deployment, self.history, self.seen, self.config, self.now_ms = (
            deployment,
            history,
            observation,
            config,
            now_ms,
        )
        self.state: DeploymentState = history[-1][0].state if history else "requested"
        self.step = history[-1][0].step if history else 0
        self.since_ms = history[-1][1] if history else now_ms
        self.steps: tuple[Step, ...] = steps_of(deployment)
        ramping = self.state in ("ramping", "paused") and self.step < len(self.steps)
        self.variant: Variant | None = self.steps[self.step].variant if ramping else None

    def to(self, state: DeploymentState, *, reason: str, step: int | None = None, **more: JSON) -> Transition:
        """A transition whose evidence says why, and how the arms stood."""
        evidence = {"reason": reason, **more, **self.figures()}
        return Transition(
            deployment=self.deployment.id,
            state=state,
            step=self.step if step is None else step,
            evidence={key: value for key, value in evidence.items() if value is not None},
        )

    def figures(self) -> dict[str, JSON]:
        """How the arms stand."""
        return figures(self.seen, shadow=self.variant == "shadow", alpha=self.config.alpha)

    @property
    def ramp_began_ms(self) -> int:
        """When traffic began, or began again after a pause."""
        began = self.since_ms
        for transition, at_ms in reversed(self.history):
            if transition.state != "ramping":
                break
            began = at_ms
        return began


def _requested(scene: MachineInput) -> Transition | None:
    if scene.seen.refusal:
        return scene.to("failed", reason=scene.seen.refusal)
    return scene.to("starting", reason="admitted", decision=scene.deployment.decision)


def _starting(scene: MachineInput) -> Transition | None:
    if gone := _moved_on(scene):
        return gone
    seen, config = scene.seen, scene.config
    waited = (scene.now_ms - scene.since_ms) / 1000
    if seen.engine == "failed":
        return scene.to("failed", reason=f"its engine cannot start: {seen.engine_problem}", seconds=waited)
    if seen.engine == "ready":
        if scene.steps:
            first = scene.steps[0]
            return scene.to(
                "ramping",
                step=0,
                reason="its engine answered",
                seconds=waited,
                variant=first.variant,
                share=first.share,
            )
        return scene.to("live", reason="its engine answered a real request", seconds=waited)
    if waited > config.ready_timeout_s:
        problem = seen.engine_problem or "no real inference answered"
        return scene.to("failed", reason=f"not ready within {config.ready_timeout_s:g} s: {problem}", seconds=waited)
    return None


def _moved_on(scene: MachineInput) -> Transition | None:
    """What it was compared with is not live any more, such as after a rollback: its evidence speaks of the past."""
    if not scene.seen.moved_on:
        return None
    return scene.to("rolled_back", reason="the release that it was to replace is not the live one any more")


def _ramping(scene: MachineInput) -> Transition | None:
    if gone := _moved_on(scene):
        return gone
    if scene.variant == "shadow":
        return _hard(scene) or _harm(scene) or _beyond_shadow(scene) or _allowance(scene) or _deadline(scene)
    if scene.variant == "b":  # a test of two good releases ends by a person's choice
        return _hard(scene) or _harm(scene) or _doubt(scene) or _deadline(scene)
    return _hard(scene) or _harm(scene) or _doubt(scene) or _onward(scene) or _deadline(scene)


def _paused(scene: MachineInput) -> Transition | None:
    """A person decides; what is certain still acts at once."""
    return _moved_on(scene) or _hard(scene) or _harm(scene)


def _live(scene: MachineInput) -> Transition | None:
    seen = scene.seen
    if seen.replaced:
        hot = (scene.now_ms - seen.replaced_at_ms) / 1000
        if hot >= scene.config.scale_down_delay_s and seen.idle:
            return scene.to("retired", reason="replaced, and no longer needed to fall back on", hot_seconds=hot)
        return None
    return _hard(scene) if seen.fallback_hot else None


def _ended(scene: MachineInput) -> Transition | None:
    return None


def _hard(scene: MachineInput) -> Transition | None:
    """Failures that need no statistics."""
    seen, limit = scene.seen, scene.config.max_failures
    watching = scene.state == "live"
    first_ten = seen.mirrored.first_ten_failures if scene.variant == "shadow" else seen.first_ten_failures
    problem = ""
    if seen.engine == "failed":
        problem = f"its engine fails over and over: {seen.engine_problem}"
    elif watching and seen.engine_down:
        problem = f"its engine is gone: {seen.engine_down}"
    elif first_ten >= limit:
        problem = f"{first_ten} of its first ten requests failed"
    elif seen.outage:
        problem = "its requests fail more often than those of the release before did"
    if not problem:
        return None
    began = seen.failing_since_ms
    seconds = None if began is None else max(0, scene.now_ms - began) / 1000
    return scene.to("rolled_back", reason=problem, seconds=seconds, back_to=scene.deployment.replaces)


def _proven_harm(scene: MachineInput) -> list[str]:
    """Measures on the wrong side of zero at α/m over the m measures; in a test of two only failures are harm."""
    harm = scene.seen.mirrored.harm if scene.variant == "shadow" else scene.seen.harm
    proven = [name for name, p in harm.items() if p <= scene.config.alpha / len(harm)]
    return [name for name in proven if name == "failures"] if scene.variant == "b" else proven


def _proven_harmless(scene: MachineInput) -> bool:
    """Whether every measure is within the margin, each at α, on enough judged units."""
    seen, config = scene.seen, scene.config
    if scene.variant == "shadow":
        copies = seen.mirrored
        return copies.units >= config.min_units and all(p <= config.alpha for p in copies.not_worse.values())
    enough = seen.candidate.units >= config.min_units and seen.live.units > 0
    return enough and bool(seen.not_worse) and all(p <= config.alpha for p in seen.not_worse.values())


def _harm(scene: MachineInput) -> Transition | None:
    harm = _proven_harm(scene)
    if not harm:
        return None
    if _proven_harmless(scene):
        if scene.state == "paused":
            return None
        return scene.to("paused", reason=f"worse in {', '.join(harm)}, yet within the margin: a person decides")
    return scene.to("rolled_back", reason=f"worse than live in {', '.join(harm)}", back_to=scene.deployment.replaces)


def _doubt(scene: MachineInput) -> Transition | None:
    if scene.seen.sample_ratio <= RATIO_ALPHA:
        return scene.to("paused", reason="the units are not split as planned: its figures cannot be trusted")
    if scene.seen.doubts:
        return scene.to("paused", reason=f"its figures cannot be trusted: {'; '.join(scene.seen.doubts)}")
    return None


def _onward(scene: MachineInput) -> Transition | None:
    """A canary: its next step on units without harm, live on proof."""
    step, seen, steps = scene.step, scene.seen, scene.steps
    proven = _proven_harmless(scene)
    if step + 1 >= len(steps):
        return scene.to("live", reason="proven to be within the margin of live on every measure") if proven else None
    answering = [number for number, one in enumerate(steps) if one.variant != "shadow"]
    due = scene.config.min_units * (step - answering[0] + 1) / len(answering)
    if (proven or seen.candidate.units >= due) and seen.live.units:
        return _to_next(scene, "no harm so far")
    return None


def _beyond_shadow(scene: MachineInput) -> Transition | None:
    """A shadow: to the next step on enough copies without harm; alone it leaves the rest to a person."""
    if scene.step + 1 < len(scene.steps):
        return _to_next(scene, "its copies show no harm") if _enough_copies(scene) else None
    if _proven_harmless(scene):
        return scene.to(
            "paused", reason="its copies are within the margin of live: a person decides, or a canary follows"
        )
    return None


def _enough_copies(scene: MachineInput) -> bool:
    """Where a program judges, its verdicts are waited for; people may take longer than a shadow should."""
    copies, config = scene.seen.mirrored, scene.config
    if config.judge is not None and config.judge_share > 0 and copies.judged < config.min_units:
        return False
    return copies.units >= config.min_units


def _to_next(scene: MachineInput, reason: str) -> Transition:
    following = scene.steps[scene.step + 1]
    return scene.to("ramping", step=scene.step + 1, reason=reason, variant=following.variant, share=following.share)


def _allowance(scene: MachineInput) -> Transition | None:
    """A shadow costs what was allowed and no more; resuming it allows as much again."""
    allowed, spent = shadow_allowance_usd(scene.history, scene.steps, scene.config), scene.seen.mirrored.cost_usd
    if spent < allowed:
        return None
    return scene.to("paused", reason=f"its copies have cost {spent:.4g} USD of {allowed:.4g} (rollout.shadow_max_usd)")


def shadow_allowance_usd(history: History, steps: Sequence[Step], config: RolloutConfig) -> float:
    """What a deployment's mirrored requests may cost altogether: as much again for each time a person resumed them."""
    resumed = sum(
        following.state == "ramping" and before.state == "paused" and steps[following.step].variant == "shadow"
        for (before, _), (following, _) in pairwise(history)
        if following.step < len(steps)
    )
    return config.shadow_max_usd * (1 + resumed)


def _deadline(scene: MachineInput) -> Transition | None:
    waited = (scene.now_ms - scene.ramp_began_ms) / 1000
    if waited <= scene.config.deadline_s:
        return None
    reason = f"undecided after {scene.config.deadline_s:g} s: {_why_undecided(scene)}"
    return scene.to("paused", reason=reason, seconds=waited)


def _why_undecided(scene: MachineInput) -> str:
    """What was missing, and what a person can do about it."""
    seen = scene.seen
    if scene.variant == "b":
        return "choose by `flyball promote` or `flyball rollback`"
    units = seen.mirrored.units if scene.variant == "shadow" else seen.candidate.units
    if units and scene.variant == "canary" and "quality" not in seen.harm:
        return "no answers of both releases were judged, and feedback alone never promotes (`flyball judge open`)"
    if units and scene.variant == "shadow" and scene.config.judge is not None and not seen.mirrored.judged:
        return "no copies were judged together with their originals (`flyball watch` shows whether the judge works)"
    why = "too little evidence" if units else "no traffic was judged, which proves nothing"
    replay = f"`flyball replay {short(scene.deployment.release)}` compares both releases on recorded requests"
    return f"{why}; {replay}"


_DECIDE: dict[DeploymentState, Callable[[MachineInput], Transition | None]] = {
    "requested": _requested,
    "starting": _starting,
    "ramping": _ramping,
    "paused": _paused,
    "live": _live,
    "retired": _ended,
    "rolled_back": _ended,
    "failed": _ended,
}
