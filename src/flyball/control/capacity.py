"""Which engines may stand beside each other: whether a release fits on this machine, and who makes room for whom.

A deployment that was allowed downtime ends what is live on its route first. I/O: reads sizes of models and of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil

from flyball.control.cluster_state import ClusterState, ReleaseStanding
from flyball.control.context import ControlContext
from flyball.control.hosts import others
from flyball.engines.catalog import is_elsewhere
from flyball.errors import EnvironmentMissing, FlyballError, NotFoundError
from flyball.records import Release
from flyball.rollout.plans import takes_downtime
from flyball.serving.placement import require_memory


def wanted(world: ClusterState) -> dict[str, Release]:
    """The releases that need engines, by name; live ones first, so that they start first."""
    ended = ended_for_room(world)
    wanting = [one for one in world.standings if one.wants_engines and one.deployment.id not in ended]
    return {one.deployment.release: one.release for one in sorted(wanting, key=lambda one: not world.is_live(one))}


def making_room(world: ClusterState) -> dict[str, set[str]]:
    """Releases whose engines end before a deployment's start, by that deployment's release."""
    return {
        standing.deployment.release: {one.deployment.release for one in _beside(world, standing)}
        for standing in _demanding(world)
    }


def ended_for_room(world: ClusterState) -> set[str]:
    """The deployments that have no engines meanwhile."""
    return {one.deployment.id for standing in _demanding(world) for one in _beside(world, standing)}


def _demanding(world: ClusterState) -> Iterator[ReleaseStanding]:
    """Deployments that take downtime, while they start and while they are what their route points at."""
    for standing in world.standings:
        if takes_downtime(standing.deployment) and (standing.state == "starting" or world.is_live(standing)):
            yield standing


def _beside(world: ClusterState, standing: ReleaseStanding) -> Iterator[ReleaseStanding]:
    """What was live on the route of a deployment that takes downtime."""
    for one in world.standings:
        another = one.deployment.release != standing.deployment.release
        if another and one.deployment.route == standing.deployment.route and one.state == "live":
            yield one


def no_room(context: ControlContext, world: ClusterState, standing: ReleaseStanding) -> str | None:
    """Why a release does not fit beside what runs, with the choices; None when it does."""
    free = min([int(psutil.virtual_memory().available), *(host.state.free_bytes for host in others(context))])
    try:
        _require_room(context, world, standing, replicas=context.serving.replicas, free=free)
    except EnvironmentMissing as error:
        return str(error)
    except FlyballError as error:
        return None if is_elsewhere(standing.release) else error.message
    return None


def room_here(context: ControlContext, world: ClusterState) -> dict[str, Callable[[int], None]]:
    """By release that is to start: asks whether so many engines of it fit here, and raises NoRoom otherwise.

    What was admitted was asked on the host that leads; GPUs tell their memory only at home.
    """
    return {
        one.deployment.release: partial(_fits_here, context, world, one)
        for one in world.standings
        if one.state == "starting"
    }


def _fits_here(context: ControlContext, world: ClusterState, standing: ReleaseStanding, replicas: int) -> None:
    _require_room(context, world, standing, replicas=replicas, free=int(psutil.virtual_memory().available))


def _require_room(
    context: ControlContext, world: ClusterState, standing: ReleaseStanding, *, replicas: int, free: int
) -> None:
    release = standing.release
    running = [one for one in world.standings if one.wants_engines and one.deployment.id != standing.deployment.id]
    if any(one.deployment.release == standing.deployment.release for one in running):
        return
    ending = _beside(world, standing) if takes_downtime(standing.deployment) else ()
    require_memory(
        release,
        context.artifacts.path(release.model),
        replicas=replicas,
        mapped=any(one.release.model == release.model for one in running),
        adapter=context.artifacts.path(release.adapter) if release.adapter else None,
        available=free,
        ending=[found for one in ending if (found := _with_artifact(context, one.release))],
    )


def _with_artifact(context: ControlContext, release: Release) -> tuple[Release, Path] | None:
    try:
        return release, context.artifacts.path(release.model)
    except NotFoundError:
        return None
