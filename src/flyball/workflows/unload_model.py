"""Have a classic model server let go of a release's model, once nothing serves from it. I/O: ledger, that server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from flyball.engines.catalog import kind_of
from flyball.engines.classic import ClassicKind
from flyball.errors import InputError, RefusedError
from flyball.records import Release
from flyball.records.identity import short
from flyball.serving.classic_client import ClassicClient
from flyball.storage.deployments import open_deployments, pointer, routes
from flyball.wiring import Project
from flyball.workflows.engine_terms import EngineTerms
from flyball.workflows.release_diff import release_named


def unload_model(project: Project, name: str) -> dict[str, str]:
    """Which model of which server it let go of.

    RefusedError while a release that is live, was live before, or is rolled out needs it; InputError for a release of
    another kind of engine; UpstreamError where the server does not let go.
    """
    stored = release_named(project.ledger, name)
    release = cast(Release, stored.record)
    kind = kind_of(release)
    if not isinstance(kind, ClassicKind):
        raise InputError(
            f"release {short(stored.id)} has an engine of kind {kind.name}, which loads for itself",
            cure="roll it back, or deploy another: its engine then ends",
        )
    for other in sorted(_needed(project)):
        needing = project.ledger.get(other).record
        if isinstance(needing, Release) and kind.unloads_too(release.engine, needing.engine):
            raise RefusedError(
                f"release {short(other)} is live, was live before or is rolled out, and needs the model",
                cure="try again once two others have followed it on its route",
            )
    config = kind.settings_of(release.engine)
    way = EngineTerms(project).behind(stored.id, release)
    assert way is not None  # each classic kind stands before a server
    ClassicClient(kind, config, way).let_go()
    return {"release": stored.id, "server": config.url, "model": config.model, "version": config.version or "all"}


def _needed(project: Project) -> Iterator[str]:
    """The releases that may be asked now, or at once after a rollback."""
    for deployment in open_deployments(project.ledger):
        yield getattr(deployment.record, "release", "")
    for route in routes(project.ledger):
        if found := pointer(project.ledger, route):
            yield from filter(None, (found.live_release, found.previous_release))
