"""Move deployments: observe each, ask the machine, store its step under the lease. I/O: the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flyball.control.capacity import no_room
from flyball.control.cluster_state import ClusterState, ReleaseStanding
from flyball.control.context import ControlContext
from flyball.control.hosts import Readiness
from flyball.records import Transition
from flyball.records.identity import short
from flyball.rollout.admission import refusal
from flyball.rollout.analysis import Analysis
from flyball.rollout.observation import Observation
from flyball.rollout.state_machine import advance, figures_of
from flyball.rollout.transitions import store
from flyball.storage.deployments import keep_figures
from flyball.storage.leases import Lease
from flyball.storage.ledger import now_ms
from flyball.telemetry import log

SHOW_EVERY_S = 1.0
"""How often the figures of a rollout are kept for people."""


def decide(
    context: ControlContext, lease: Lease, world: ClusterState, engines: Mapping[str, Readiness]
) -> Sequence[Transition]:
    """Ask the machine about every deployment and store what it says; the steps that were stored."""
    stored = []
    for standing in world.standings:
        transition = step_of(context, world, standing, engines)
        if transition and store(context.ledger, lease, standing.deployment, transition, after=standing.last):
            log.info(
                "deployment %s of release %s: %s → %s: %s",
                standing.deployment.id,
                short(standing.deployment.release),
                standing.state,
                transition.state,
                transition.evidence.get("reason"),
            )
            stored.append(transition)
    current = {standing.deployment.id for standing in world.standings}
    for name in set(context.memory.analyses) - current:
        del context.memory.analyses[name]
        context.memory.shown.pop(f"figures:{name}", None)
    return stored


def step_of(
    context: ControlContext, world: ClusterState, standing: ReleaseStanding, engines: Mapping[str, Readiness]
) -> Transition | None:
    """What the machine says of one deployment now."""
    now = now_ms()
    seen = observation_of(context, world, standing, engines, now)
    return advance(standing.deployment, standing.history, seen, context.rollout, now)


def observation_of(
    context: ControlContext, world: ClusterState, standing: ReleaseStanding, engines: Mapping[str, Readiness], now: int
) -> Observation:
    """What is known of one deployment: admission, engines, its place on the route, its traffic."""
    deployment, live = standing.deployment, world.is_live(standing)
    if standing.state == "requested":
        return Observation(refusal=_refusal(context, world, standing))
    mine = engines.get(deployment.release, Readiness())
    if standing.state != "live" and _moved_on(world, standing):
        return Observation(moved_on=True)
    if standing.state == "starting":
        return _engine(mine)
    if standing.state == "live" and not live:
        successor = world.named(world.pointers[deployment.route].live_deployment)
        since = successor.history[-1][1] if successor and successor.history else now
        return Observation(replaced=True, replaced_at_ms=since, idle=True)
    before = world.named(deployment.replaces)
    hot = before is not None and before.state == "live" and _ready(engines, before)
    if standing.state == "live" and not hot:
        return Observation()
    analysis = context.memory.analyses.get(deployment.id)
    if analysis is None:
        began = standing.history[0][1]
        analysis = Analysis(context.ledger, deployment, context.rollout, began_ms=began)
        context.memory.analyses[deployment.id] = analysis
    analysis.look(context.ledger, standing.history, now)
    seen = analysis.observation(replace(_engine(mine), engine_down=mine.down, fallback_hot=hot))
    if standing.state in ("ramping", "paused"):
        _show(context, standing, seen)
    return seen


def _show(context: ControlContext, standing: ReleaseStanding, seen: Observation) -> None:
    """Keep the figures of a rollout where people look, now and then and beside the pass."""
    memory, name = context.memory, f"figures:{standing.deployment.id}"
    outcome = context.background.take(name)
    if outcome is not None and outcome.error is not None:
        log.warning("the figures of deployment %s were not kept: %s", standing.deployment.id, outcome.error)
    figures = figures_of(standing.deployment, standing.history, seen, context.rollout)
    last, at = memory.shown.get(name, ({}, -1e9))
    if figures != last and time.monotonic() - at >= SHOW_EVERY_S and not context.background.busy(name):
        memory.shown[name] = (figures, time.monotonic())
        context.background.submit(name, lambda: keep_figures(context.ledger, standing.deployment.id, figures))


def _moved_on(world: ClusterState, standing: ReleaseStanding) -> bool:
    """Whether something else is live now than when it was asked for."""
    found = world.pointers.get(standing.deployment.route)
    return standing.deployment.replaces != (found.live_deployment if found else None)


def _engine(mine: Readiness) -> Observation:
    return Observation(
        engine="failed" if mine.failed else "ready" if mine.whole else "starting", engine_problem=mine.problem
    )


def _ready(engines: Mapping[str, Readiness], standing: ReleaseStanding) -> bool:
    return engines.get(standing.deployment.release, Readiness()).hot


def _refusal(context: ControlContext, world: ClusterState, standing: ReleaseStanding) -> str | None:
    """Why the control plane does not admit it: evidence, or a machine that is too small for both."""
    found = world.pointers.get(standing.deployment.route)
    if _moved_on(world, standing):
        return "the route has moved on since it was asked for"
    refused = refusal(context.ledger, standing.deployment, live=found.live_release if found else None)
    if refused:
        return refused
    return no_room(context, world, standing)
