"""Say to the gateways what answers: routes with their arms and ready engines. I/O: routes.json."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from flyball.control.context import ControlContext
from flyball.control.fleet import ReleaseEngines
from flyball.control.world import Standing, World
from flyball.errors import CorruptionError
from flyball.rollout.machine import shadow_allowance_usd
from flyball.rollout.plans import Step, steps_of
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, load, publish, stamp_of


def publish_routes(context: ControlContext, world: World, engines: Mapping[str, ReleaseEngines]) -> bool:
    """Write the table when it differs from the one on disk; True when it was written.

    A table that somebody else wrote, such as a control process that was stopped in mid-pass, does not stay.
    """
    memory = context.memory
    stamp = stamp_of(context.routes_path)
    if stamp is None or stamp != memory.stamp:
        memory.table, memory.stamp = on_disk(context), stamp
    old = memory.table
    routes = tuple(_route(context, world, route, engines) for route in sorted(world.pointers))
    unchanged = old is not None and old.routes == routes and old.project == context.project
    if unchanged:
        return False
    table = RoutingTable(version=old.version + 1 if old else 1, project=context.project, routes=routes)
    memory.stamp = publish(context.routes_path, table)
    memory.table = table
    return True


def on_disk(context: ControlContext) -> RoutingTable | None:
    """The table that gateways follow; None when there is none."""
    try:
        return load(context.routes_path)
    except (OSError, CorruptionError):
        return None


def _route(context: ControlContext, world: World, route: str, engines: Mapping[str, ReleaseEngines]) -> Route:
    live = world.named(world.pointers[route].live_deployment)
    candidate = next(
        (one for one in world.standings if one.deployment.route == route and one.state in ("ramping", "paused")), None
    )
    step = _step(candidate) if candidate else None
    arms = []
    share = 0.0
    if candidate and step and step.variant != "shadow":
        share = step.share
        arms.append(_arm(context, candidate, step.variant, step.share, engines))
    elif candidate and step and candidate.state == "ramping":  # one that is paused costs nothing
        arms.append(_shadow(context, candidate, step, engines))
    if live:
        arms.append(_arm(context, live, "live", 1.0 - share, engines))
        if (before := world.named(live.deployment.replaces)) and before.state == "live":
            arms.append(_arm(context, before, "previous", 0.0, engines))
    salt = candidate.deployment.id if candidate else ""
    unit = context.rollout.unit
    return Route(name=route, arms=tuple(arms), default=route == context.project, salt=salt, unit=unit)


def _shadow(context: ControlContext, standing: Standing, step: Step, engines: Mapping[str, ReleaseEngines]) -> Arm:
    steps = steps_of(standing.deployment)
    allowance = shadow_allowance_usd(standing.history, steps, context.rollout)
    return replace(_arm(context, standing, step.variant, step.share, engines), max_usd=allowance)


def _step(standing: Standing) -> Step | None:
    steps = steps_of(standing.deployment)
    last = standing.last
    return steps[last.step] if last and last.step < len(steps) else None


def _arm(
    context: ControlContext, standing: Standing, variant: str, weight: float, engines: Mapping[str, ReleaseEngines]
) -> Arm:
    release = standing.release
    ready = engines.get(standing.deployment.release, ReleaseEngines()).ready
    terms = context.terms(standing.deployment.release, release)
    return Arm(
        release=standing.deployment.release,
        variant=variant,
        weight=round(weight, 9),
        endpoints=tuple(Endpoint(id=one.id, url=one.url, slots=one.slots, api_key=terms.api_key) for one in ready),
        deployment=standing.deployment.id,
        prompt_path=release,
        usd_per_million=terms.usd_per_million,
    )
