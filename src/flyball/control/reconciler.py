"""One pass of the control plane: idempotent, and resumed by any later pass after a crash at any point. I/O: everything.

The order matters. Steps are stored before they take effect; engines and routes follow from what is stored; and a
release leaves the routes before its engines are asked to end. Every host keeps its own engines and routes; steps are
decided under the lease, by one of them for all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flyball.control.capacity import making_room, room_here, wanted
from flyball.control.cluster_reader import packaged_files, read_world
from flyball.control.cluster_state import ClusterState
from flyball.control.context import ControlContext
from flyball.control.deployment_steps import decide
from flyball.control.fleet import Fleet, ReleaseEngines
from flyball.control.host_metrics import EVERY_S, tell_metrics
from flyball.control.hosts import everywhere, others, take_leave, tell_of_engines
from flyball.control.route_publisher import on_disk, publish_routes
from flyball.engines.catalog import is_elsewhere
from flyball.errors import FlyballError, LockedError
from flyball.records import Finding
from flyball.storage import leases
from flyball.storage.ledger import now_ms
from flyball.telemetry import log

RETENTION_EVERY_S = 60.0


def step(context: ControlContext) -> bool:
    """One pass; False when another process holds the lease: then this one keeps its host's engines and routes only."""
    try:
        return _pass(context)
    except LockedError as error:
        log.warning("%s", error.message)
        context.memory.lease = None
        return False


def _pass(context: ControlContext) -> bool:
    world, away = _world(context)
    if context.memory.routes.table is None:
        _adopt(context)
    fleet = Fleet(context)
    engines = fleet.look(wanted(world))
    _check_time(context)
    if publish_routes(context, world, engines):
        log.info(
            "routes published, version %d", context.memory.routes.table.version if context.memory.routes.table else 0
        )
    lease = None
    try:
        if away is None:
            tell_of_engines(context, engines)
            lease = _lease(context)
            world = _lead(context, lease, world, engines) if lease else world
    except LockedError as error:
        log.warning("%s", error.message)
        context.memory.lease = lease = None
    except FlyballError as error:
        away = error
    releases = wanted(world)
    _check_time(context)
    fleet.keep(releases, packaged_files(context, releases), making_room(world), room_here(context, world))
    _tell_metrics(context, world, leads=lease is not None)
    if away is not None:
        raise away  # engines were kept; the loop says it and tries again
    return lease is not None


def _world(context: ControlContext) -> tuple[ClusterState, FlyballError | None]:
    """What the ledger says now; while it does not answer, what it said last, with the error."""
    memory = context.memory
    memory.world_read = time.monotonic()
    try:
        memory.world = world = read_world(context)
    except FlyballError as error:
        if memory.world is None:
            raise
        return memory.world, error
    return world, None


def _check_time(context: ControlContext) -> None:
    """Routes and engines know no epochs: one that was stopped in mid-pass reads the ledger again before it acts."""
    slept = time.monotonic() - context.memory.world_read
    if slept > context.lease_ttl_s:
        raise LockedError(
            f"a pass was interrupted for {slept:.0f} s", cure="nothing more was changed; the next one reads"
        )


def _lead(
    context: ControlContext, lease: leases.Lease, world: ClusterState, engines: Mapping[str, ReleaseEngines]
) -> ClusterState:
    """What the holder of the lease does for all hosts; the world after its decisions."""
    if decide(context, lease, world, everywhere(context, engines, others(context))):
        world, _ = _world(context)
        publish_routes(context, world, engines)
    _watch(context, world)
    _judge(context)
    _notify(context)
    _export(context)
    _sweep(context)
    return world


def _tell_metrics(context: ControlContext, world: ClusterState, *, leads: bool) -> None:
    """Leave this host's numbers for its gateway's `/metrics`."""
    memory = context.memory
    memory.metrics.run(
        context.background, lambda: tell_metrics(context, world, memory.findings, leads=leads), every_s=EVERY_S
    )


def _lease(context: ControlContext) -> leases.Lease | None:
    memory, now = context.memory, time.monotonic()
    if memory.lease and now - memory.lease_renewed < context.lease_ttl_s / 3:
        return memory.lease
    if memory.lease and leases.renew(context.ledger, memory.lease, ttl_s=context.lease_ttl_s):
        memory.lease_renewed = now
        return memory.lease
    if memory.lease:
        log.warning("the lease %s was taken over; standing by", context.lease_name)
        memory.lease, memory.lease_renewed = None, now
        return None
    memory.lease = leases.acquire(context.ledger, context.lease_name, holder=context.holder, ttl_s=context.lease_ttl_s)
    memory.lease_renewed = now
    if memory.lease:
        log.info("holding the lease %s, epoch %d", context.lease_name, memory.lease.epoch)
    return memory.lease


def _adopt(context: ControlContext) -> None:
    """Go on with the table that gateways follow: servers elsewhere that answered then are taken to answer now."""
    context.memory.routes.table = on_disk(context)
    for route in context.memory.routes.table.routes if context.memory.routes.table else ():
        for arm in route.arms:
            if arm.endpoints and arm.prompt_path and is_elsewhere(arm.prompt_path):
                context.memory.releases.elsewhere_ready.add(arm.release)


def _watch(context: ControlContext, world: ClusterState) -> None:
    """Run the monitors, and hand on what they found."""
    if context.watch is None:
        return
    live = [(route, found.live_release) for route, found in world.pointers.items() if found.live_release]
    context.memory.monitoring.run(
        context.background,
        lambda: [monitor(context, route, release) for route, release in live],
        every_s=context.monitor.every_s,
    )


def monitor(context: ControlContext, route: str, release: str) -> Sequence[Finding]:
    """Watch one route's live release, tell who listens, and propose what should be done."""
    findings = context.watch(route, release) if context.watch else ()
    for tell in context.on_findings if findings else ():
        tell(findings)
    proposal = context.propose(route, findings) if context.propose else None
    for say in context.on_proposal if proposal else ():
        say(proposal)  # type: ignore[arg-type]
    return findings


def _sweep(context: ControlContext) -> None:
    """Let go what is too old to keep."""
    if (retention := context.retention) is not None:
        context.memory.retention.run(context.background, lambda: retention(now_ms()), every_s=RETENTION_EVERY_S)


def _notify(context: ControlContext) -> None:
    """Tell people, beyond the console, of what is new."""
    if context.notify is not None:
        context.memory.notices.run(context.background, context.notify, every_s=context.notify_every_s)


def _export(context: ControlContext) -> None:
    """Send traces of the requests that the ledger took in."""
    if context.export is not None:
        context.memory.traces.run(context.background, context.export, every_s=context.export_every_s)


def _judge(context: ControlContext) -> None:
    """Have the answers that wait judged by the project's program."""
    config = context.rollout.judge
    if context.judge is not None and config is not None:
        context.memory.judging.run(context.background, context.judge, every_s=config.every_s)


def hand_over(context: ControlContext) -> None:
    """Give the lease back on an orderly end; engines go on serving."""
    if context.memory.lease:
        with suppress(Exception):
            leases.release(context.ledger, context.memory.lease)
    take_leave(context)
    context.memory.lease = None
