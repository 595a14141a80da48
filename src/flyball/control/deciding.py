"""Move deployments: observe each, ask the machine, store its step under the lease. I/O: the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flyball.control.context import ControlContext
from flyball.control.fleet import PackagedFiles
from flyball.control.hosts import Readiness
from flyball.control.room import ended_for_room, no_room
from flyball.errors import NotFoundError
from flyball.records import Deployment, ModelVersion, Record, Release, Transition
from flyball.records.identity import short
from flyball.rollout.admission import refusal
from flyball.rollout.analysis import Analysis
from flyball.rollout.machine import History, Observation, advance, figures_of
from flyball.rollout.storing import live_deployments, store
from flyball.storage.deployments import Pointer, history, keep_figures, open_deployments, pointer
from flyball.storage.leases import Lease
from flyball.storage.ledger import now_ms
from flyball.telemetry import log

SHOW_EVERY_S = 1.0
"""How often the figures of a rollout are kept for whoever looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One deployment that still matters: under way, live, or hot behind the live one."""

    deployment: Deployment
    release: Release
    history: History

    @property
    def last(self) -> Transition | None:
        """Its last transition."""
        return self.history[-1][0] if self.history else None

    @property
    def state(self) -> str:
        """The state it is in."""
        return self.last.state if self.last else "requested"

    @property
    def wants_engines(self) -> bool:
        """Whether it is admitted and not over."""
        return self.state in ("starting", "ramping", "paused", "live")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All deployments that matter and where the routes point."""

    standings: tuple[Standing, ...]
    pointers: Mapping[str, Pointer]

    def wanted(self) -> dict[str, Release]:
        """The releases that need engines, by name; live ones first, so that they start first."""
        ended = ended_for_room(self)
        wanting = [one for one in self.standings if one.wants_engines and one.deployment.id not in ended]
        return {one.deployment.release: one.release for one in sorted(wanting, key=lambda one: not self.is_live(one))}

    def is_live(self, standing: Standing) -> bool:
        """Whether its route points at it."""
        found = self.pointers.get(standing.deployment.route)
        return found is not None and found.live_deployment == standing.deployment.id

    def named(self, deployment: str | None) -> Standing | None:
        """The standing of a deployment; None when it is over."""
        return next((one for one in self.standings if one.deployment.id == deployment), None)


def read_world(context: ControlContext) -> World:
    """What the ledger says now."""
    ledger = context.ledger
    found = [stored.record for stored in open_deployments(ledger)]
    deployments = [*live_deployments(ledger), *(one for one in found if isinstance(one, Deployment))]
    standings = []
    for deployment in deployments:
        release = _record(context, deployment.release)
        assert isinstance(release, Release)
        standings.append(Standing(deployment=deployment, release=release, history=history(ledger, deployment.id)))
    pointers = {route: at for route in {one.route for one in deployments} if (at := pointer(ledger, route))}
    return World(standings=tuple(standings), pointers=pointers)


def packaged_files(context: ControlContext, wanted: Mapping[str, Release]) -> dict[str, PackagedFiles]:
    """What each release's model and adapter were packaged as: their files are checked before an engine loads them."""
    found: dict[str, PackagedFiles] = {}
    used = set(wanted)
    for name, release in wanted.items():
        records = {one: _record(context, one) for one in (release.model, release.adapter) if one}
        found[name] = {one: record.files for one, record in records.items() if isinstance(record, ModelVersion)}
        used |= set(records)
    for name in set(context.memory.records) - used:
        del context.memory.records[name]
    return found


def _record(context: ControlContext, name: str) -> Record | None:
    """A record, read once; None for an imported artefact without one (llama.cpp then checks what it can)."""
    records = context.memory.records
    if name not in records:
        try:
            records[name] = context.ledger.get(name).record
        except NotFoundError:
            records[name] = None
    return records[name]


def decide(
    context: ControlContext, lease: Lease, world: World, engines: Mapping[str, Readiness]
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
    context: ControlContext, world: World, standing: Standing, engines: Mapping[str, Readiness]
) -> Transition | None:
    """What the machine says of one deployment now."""
    now = now_ms()
    seen = observation_of(context, world, standing, engines, now)
    return advance(standing.deployment, standing.history, seen, context.rollout, now)


def observation_of(
    context: ControlContext, world: World, standing: Standing, engines: Mapping[str, Readiness], now: int
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


def _show(context: ControlContext, standing: Standing, seen: Observation) -> None:
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


def _moved_on(world: World, standing: Standing) -> bool:
    """Whether something else is live now than when it was asked for."""
    found = world.pointers.get(standing.deployment.route)
    return standing.deployment.replaces != (found.live_deployment if found else None)


def _engine(mine: Readiness) -> Observation:
    return Observation(
        engine="failed" if mine.failed else "ready" if mine.whole else "starting", engine_problem=mine.problem
    )


def _ready(engines: Mapping[str, Readiness], standing: Standing) -> bool:
    return engines.get(standing.deployment.release, Readiness()).hot


def _refusal(context: ControlContext, world: World, standing: Standing) -> str | None:
    """Why the control plane does not admit it: evidence, or a machine that is too small for both."""
    found = world.pointers.get(standing.deployment.route)
    if _moved_on(world, standing):
        return "the route has moved on since it was asked for"
    refused = refusal(context.ledger, standing.deployment, live=found.live_release if found else None)
    if refused:
        return refused
    return no_room(context, world, standing)
