"""Traces of a project's requests, where flyball.yaml names who gets them. I/O: the ledger, HTTP."""

from __future__ import annotations

from functools import lru_cache

from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import FlyballError
from flyball.monitoring.traces.export import Exporter
from flyball.monitoring.traces.spans import Answerer
from flyball.records import Release
from flyball.records.identity import short
from flyball.settings import proxy_for, secret
from flyball.wiring import Project


def exporter_of(project: Project) -> Exporter | None:
    """What sends traces; None where `traces.url` is not set."""
    config = project.settings.traces
    if config.url is None:
        return None

    @lru_cache(maxsize=64)
    def answerer(release: str) -> Answerer | None:
        return answerer_of(project, release)

    return Exporter(
        ledger=project.ledger,
        config=config,
        url=config.url,
        answerer=answerer,
        secrets=lambda reference: secret(reference, project.home, project.environment),
        proxy_for=lambda url: proxy_for(url, project.environment),
    )


def answerer_of(project: Project, release: str) -> Answerer | None:
    """The engine and model of a release: as its server calls the model, else by fingerprint; None for one unknown."""
    try:
        record = project.ledger.get(release).record
    except FlyballError:
        return None
    if not isinstance(record, Release):
        return None
    named = kind_of(record).server(record.engine).model if is_elsewhere(record) else None
    return Answerer(provider=record.engine.kind, model=named or short(record.model))
