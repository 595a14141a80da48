"""One pass of the control plane: idempotent, and resumed by any later pass after a crash at any point. I/O: everything.

The order matters. Steps are stored before they take effect; engines and routes follow from what is stored; and a
release leaves the routes before its engines are asked to end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from flyball.control.context import ControlContext
from flyball.control.deciding import World, decide, models_of, read_world
from flyball.control.fleet import Fleet
from flyball.control.publishing import on_disk, publish_routes
from flyball.control.room import making_room
from flyball.errors import LockedError
from flyball.records import Finding
from flyball.storage import leases
from flyball.storage.ledger import now_ms
from flyball.telemetry import log

RETENTION_EVERY_S = 60.0


def step(context: ControlContext) -> bool:
    """One pass; False when another process holds the lease and this one stands by."""
    lease = _lease(context)
    if lease is None:
        return False
    try:
        act(context, lease)
    except LockedError as error:
        log.warning("%s", error.message)
        context.memory.lease = None
        return False
    return True


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


def act(context: ControlContext, lease: leases.Lease) -> None:
    """A pass under a lease; LockedError before anything takes effect once another holds it."""
    world = read_world(context)
    if context.memory.table is None:
        _adopt(context)
    fleet = Fleet(context)
    engines = fleet.look(world.wanted())
    _check_time(context, lease)
    if publish_routes(context, world, engines):
        log.info("routes published, version %d", context.memory.table.version if context.memory.table else 0)
    if decide(context, lease, world, engines):
        world = read_world(context)
        _check_time(context, lease)
        publish_routes(context, world, engines)
    wanted = world.wanted()
    _check_time(context, lease)
    fleet.keep(wanted, models_of(context, wanted), making_room(world))
    _watch(context, world)
    _judge(context)
    _sweep(context)


def _check_time(context: ControlContext, lease: leases.Lease) -> None:
    """Routes and engines know no epochs: whoever was stopped in mid-pass asks first whether another acts by now."""
    now = time.monotonic()
    if now - context.memory.lease_renewed <= context.lease_ttl_s:
        return
    if not leases.renew(context.ledger, lease, ttl_s=context.lease_ttl_s):
        raise LockedError(f"the lease {lease.name} was taken over in mid-pass", cure="nothing more was changed")
    context.memory.lease_renewed = now


def _adopt(context: ControlContext) -> None:
    """Go on with the table that gateways follow: servers elsewhere that answered then are taken to answer now."""
    context.memory.table = on_disk(context)
    for route in context.memory.table.routes if context.memory.table else ():
        for arm in route.arms:
            if arm.endpoints and arm.prompt_path and arm.prompt_path.engine.kind == "openai":
                context.memory.elsewhere_ready.add(arm.release)


def _watch(context: ControlContext, world: World) -> None:
    """Run the monitors beside the pass, and hand on what they found."""
    outcome = context.background.take("monitors")
    if outcome is not None and outcome.error is not None:
        log.error("monitoring failed: %s", outcome.error)
    if context.watch is None or time.monotonic() - context.memory.monitored < context.monitor.every_s:
        return
    context.memory.monitored = time.monotonic()
    live = [(route, found.live_release) for route, found in world.pointers.items() if found.live_release]
    context.background.submit("monitors", lambda: [monitor(context, route, release) for route, release in live])


def monitor(context: ControlContext, route: str, release: str) -> Sequence[Finding]:
    """Watch one route's live release, tell who listens, and propose what ought to be done."""
    findings = context.watch(route, release) if context.watch else ()
    for tell in context.on_findings if findings else ():
        tell(findings)
    proposal = context.propose(route, findings) if context.propose else None
    for say in context.on_proposal if proposal else ():
        say(proposal)  # type: ignore[arg-type]
    return findings


def _sweep(context: ControlContext) -> None:
    """Let go, now and then, what is too old to keep."""
    outcome = context.background.take("retention")
    if outcome is not None and outcome.error is not None:
        log.error("retention failed: %s", outcome.error)
    if context.retention is None or time.monotonic() - context.memory.swept < RETENTION_EVERY_S:
        return
    context.memory.swept = time.monotonic()
    retention = context.retention
    context.background.submit("retention", lambda: retention(now_ms()))


def _judge(context: ControlContext) -> None:
    """Have the answers that wait judged by the project's program, beside the pass."""
    outcome = context.background.take("judge")
    if outcome is not None and outcome.error is not None:
        log.error("judging failed: %s", outcome.error)
    config = context.rollout.judge
    if context.judge is None or config is None or time.monotonic() - context.memory.judged < config.every_s:
        return
    if not context.background.busy("judge"):
        context.memory.judged = time.monotonic()
        context.background.submit("judge", context.judge)


def hand_over(context: ControlContext) -> None:
    """Give the lease back on an orderly end; engines go on serving."""
    if context.memory.lease:
        with suppress(Exception):
            leases.release(context.ledger, context.memory.lease)
    context.memory.lease = None
