"""Say to the gateways what answers: routes with their arms and ready engines. I/O: routes.json."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from flyball.control.cluster_state import ClusterState, ReleaseStanding
from flyball.control.context import ControlContext
from flyball.control.fleet import ReleaseEngines
from flyball.errors import CorruptionError
from flyball.monitoring.route_diagnosis import missing_on
from flyball.records.identity import short
from flyball.rollout.plans import Step, steps_of
from flyball.rollout.state_machine import shadow_allowance_usd
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, load, publish, stamp_of

LOOK_S = 1.0


def publish_routes(context: ControlContext, world: ClusterState, engines: Mapping[str, ReleaseEngines]) -> bool:
    """Write the table when it differs from the one on disk; True when it was written.

    A table that somebody else wrote, such as a control process that was stopped in mid-pass, does not stay.
    """
    memory = context.memory
    stamp = stamp_of(context.routes_path)
    if stamp is None or stamp != memory.routes.stamp:
        memory.routes.table, memory.routes.stamp = on_disk(context), stamp
    old = memory.routes.table
    routes = tuple(_route(context, world, route, engines) for route in sorted(world.pointers))
    missing = "" if routes else _missing(context, context.project)
    unchanged = old is not None and (old.routes, old.missing, old.project) == (routes, missing, context.project)
    if unchanged:
        return False
    version = old.version + 1 if old else 1
    table = RoutingTable(version=version, project=context.project, routes=routes, missing=missing)
    memory.routes.stamp = publish(context.routes_path, table)
    memory.routes.table = table
    return True


def on_disk(context: ControlContext) -> RoutingTable | None:
    """The table that gateways follow; None when there is none."""
    try:
        return load(context.routes_path)
    except (OSError, CorruptionError):
        return None


def _route(context: ControlContext, world: ClusterState, route: str, engines: Mapping[str, ReleaseEngines]) -> Route:
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
    missing = _not_answering(context, route, live, arms, engines)
    default = route == context.project
    return Route(name=route, arms=tuple(arms), default=default, salt=salt, unit=unit, missing=missing)


def _not_answering(
    context: ControlContext,
    route: str,
    live: ReleaseStanding | None,
    arms: Sequence[Arm],
    engines: Mapping[str, ReleaseEngines],
) -> str:
    """Why a route cannot answer now, in words for clients; empty where it can."""
    if not arms:
        return _missing(context, route)
    if live is None or any(arm.endpoints for arm in arms if arm.variant != "shadow"):
        return ""
    name = short(live.deployment.release)
    if engines.get(live.deployment.release, ReleaseEngines()).failed:
        return f"the engine of release {name} does not start: see `flyball status` and the log engine-{name}.log"
    return f"no engine of release {name} answers now; it is being started"


def _missing(context: ControlContext, route: str) -> str:
    """What the ledger says, looked up every few seconds: a pass comes five times as often."""
    memory, now = context.memory, time.monotonic()
    known = memory.routes.missing.get(route)
    if known is None or now - known[1] > LOOK_S:
        known = memory.routes.missing[route] = str(missing_on(context.ledger, route) or ""), now
    return known[0]


def _shadow(
    context: ControlContext, standing: ReleaseStanding, step: Step, engines: Mapping[str, ReleaseEngines]
) -> Arm:
    steps = steps_of(standing.deployment)
    allowance = shadow_allowance_usd(standing.history, steps, context.rollout)
    return replace(_arm(context, standing, step.variant, step.share, engines), max_usd=allowance)


def _step(standing: ReleaseStanding) -> Step | None:
    steps = steps_of(standing.deployment)
    last = standing.last
    return steps[last.step] if last and last.step < len(steps) else None


def _arm(
    context: ControlContext,
    standing: ReleaseStanding,
    variant: str,
    weight: float,
    engines: Mapping[str, ReleaseEngines],
) -> Arm:
    release = standing.release
    ready = engines.get(standing.deployment.release, ReleaseEngines()).ready
    terms = context.terms(standing.deployment.release, release)
    return Arm(
        release=standing.deployment.release,
        variant=variant,
        weight=round(weight, 9),
        endpoints=tuple(
            Endpoint(id=one.id, url=one.url, slots=one.slots, api_key=terms.api_key, exact=one.exact, reach=terms.reach)
            for one in ready
        ),
        deployment=standing.deployment.id,
        prompt_path=release,
        usd_per_million=terms.usd_per_million,
    )
