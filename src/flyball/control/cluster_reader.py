"""Reads the state of the cluster: deployments that matter, where routes point, packaged files. I/O: the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.control.cluster_state import ClusterState, ReleaseStanding
from flyball.control.context import ControlContext
from flyball.control.fleet import PackagedFiles
from flyball.errors import NotFoundError
from flyball.records import Deployment, ModelVersion, Record, Release
from flyball.rollout.transitions import live_deployments
from flyball.storage.deployments import history, open_deployments, pointer


def read_world(context: ControlContext) -> ClusterState:
    """What the ledger says now."""
    ledger = context.ledger
    found = [stored.record for stored in open_deployments(ledger)]
    deployments = [*live_deployments(ledger), *(one for one in found if isinstance(one, Deployment))]
    standings = []
    for deployment in deployments:
        release = _record(context, deployment.release)
        assert isinstance(release, Release)
        standings.append(
            ReleaseStanding(deployment=deployment, release=release, history=history(ledger, deployment.id))
        )
    pointers = {route: at for route in {one.route for one in deployments} if (at := pointer(ledger, route))}
    return ClusterState(standings=tuple(standings), pointers=pointers)


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
    """A record, read once; None for an imported artefact without one (its engine then checks what it can)."""
    records = context.memory.records
    if name not in records:
        try:
            records[name] = context.ledger.get(name).record
        except NotFoundError:
            records[name] = None
    return records[name]
