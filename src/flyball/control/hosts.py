"""Several hosts on one ledger: each says how its engines stand, and one leads for all of them. I/O: ledger.

A host has a control process, engines and a routing table of its own; which releases are wanted and where routes point
it reads in the ledger. Steps of a deployment are the leader's alone: it goes on when every host that is there is ready.
A SQLite ledger has one host, which needs no word of others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from flyball.control.context import ControlContext
from flyball.control.fleet import ReleaseEngines
from flyball.storage.hosts import Host, HostState, ReleaseState, known_hosts, leave, report
from flyball.telemetry import log

BEAT_S = 1.0
GONE_S = 5.0
"""Silent for so long, a host is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How a release stands on all hosts together."""

    whole: bool = False  # every host has as many engines ready as it wants
    hot: bool = False  # every host has at least one
    failed: bool = False  # it cannot run on one of them
    problem: str | None = None
    down: str | None = None  # no host answers with it any more


def is_shared(context: ControlContext) -> bool:
    """Whether the ledger can be that of several hosts."""
    return context.ledger.engine.dialect.name == "postgresql"


def tell_of_engines(context: ControlContext, engines: Mapping[str, ReleaseEngines]) -> None:
    """Say how the engines of this host stand, at once when that changed and else once a second; beside the pass."""
    if not is_shared(context):
        return
    memory, background = context.memory, context.background
    outcome = background.take("host")
    if outcome is not None and outcome.error is not None:
        log.warning("this host could not say how it stands: %s", outcome.error)
        memory.host.told = None
    releases = {name: _state(found) for name, found in engines.items()}
    due = time.monotonic() - memory.host.told_at >= BEAT_S
    if (due or releases != memory.host.told) and not background.busy("host"):
        memory.host.told, memory.host.told_at = releases, time.monotonic()
        state = HostState(free_bytes=int(psutil.virtual_memory().available), releases=releases)
        background.submit("host", lambda: report(context.ledger, context.holder, state))


def others(context: ControlContext) -> list[Host]:
    """The other hosts that are there."""
    if not is_shared(context):
        return []
    return [host for host in known_hosts(context.ledger) if host.name != context.holder and host.age_s <= GONE_S]


def everywhere(
    context: ControlContext, engines: Mapping[str, ReleaseEngines], hosts: Sequence[Host]
) -> dict[str, Readiness]:
    """How each release stands on this host and the others."""
    here = {name: _state(found) for name, found in engines.items()}
    return {
        name: _together(
            {context.holder: state, **{host.name: host.state.releases.get(name, ReleaseState()) for host in hosts}}
        )
        for name, state in here.items()
    }


def take_leave(context: ControlContext) -> None:
    """Nobody need wait for this host any more."""
    if is_shared(context):
        with suppress(Exception):
            leave(context.ledger, context.holder)


def _state(found: ReleaseEngines) -> ReleaseState:
    return ReleaseState(
        ready=len(found.ready), wanted=found.wanted, failed=found.failed, problem=found.problem, down=found.down
    )


def _together(states: Mapping[str, ReleaseState]) -> Readiness:
    alone = len(states) == 1
    problems = [
        state.problem if alone else f"on {host}: {state.problem}"
        for host, state in sorted(states.items(), key=lambda item: not item[1].failed)
        if state.problem
    ]
    every = list(states.values())
    return Readiness(
        whole=all(state.ready >= state.wanted for state in every),
        hot=all(state.ready > 0 for state in every),
        failed=any(state.failed for state in every),
        problem=problems[0] if problems else None,
        down=next((state.down for state in every if state.down), None)
        if all(state.down or not state.ready for state in every)
        else None,
    )
