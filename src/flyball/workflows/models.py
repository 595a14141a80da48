"""Model versions side by side: releases, scores, gates, marks. I/O: reads the ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from flyball.records import JSON, EvalReport, GateDecision, ModelVersion, Release
from flyball.storage import tables
from flyball.storage.deployments import pointer, routes
from flyball.storage.ledger import EXPERIMENT
from flyball.wiring import Project
from flyball.workflows.probability_check import words as agreement_words


def model_rows(project: Project, *, limit: int) -> list[dict[str, Any]]:
    """One row per release of each model, newest model first."""
    ledger = project.ledger
    live = {found.live_release for route in routes(ledger) if (found := pointer(ledger, route))}
    releases: dict[str, list[str]] = {}
    made_in: dict[str, JSON] = {}
    for stored in ledger.find(Release, limit=1000):
        assert isinstance(stored.record, Release)
        releases.setdefault(stored.record.model, []).append(stored.id)
        made_in[stored.id] = stored.recorded.get(EXPERIMENT)
    reports = {
        r.release: r
        for s in ledger.find(EvalReport, limit=1000, newest_first=False)
        if isinstance(r := s.record, EvalReport)
    }
    verdicts = {
        d.release: d.verdict
        for s in ledger.find(GateDecision, limit=1000, newest_first=False)
        if isinstance(d := s.record, GateDecision)
    }
    marked = marks(project)
    rows = []
    for stored in ledger.find(ModelVersion, limit=limit):
        for release in releases.get(stored.id, [""]):
            report = reports.get(release)
            scores = {m.name: round(m.value, 4) for m in report.measures if m.slice is None} if report else {}
            rows.append(
                {
                    "model": stored.id,
                    "release": release or None,
                    "experiment": made_in[release] if release else stored.recorded.get(EXPERIMENT),
                    **scores,
                    "gate": verdicts.get(release),
                    "live": release in live,
                    "agreement": agreement_words(stored.recorded.get("agreement")),
                    "marks": marked.get(stored.id, []),
                }
            )
    return rows


def marks(project: Project) -> dict[str, list[str]]:
    """What erasure did to which record."""
    table = tables.erasures
    with project.ledger.read() as connection:
        found = connection.execute(select(table.c.old, table.c.effect).where(table.c.project == project.name))
        result: dict[str, list[str]] = {}
        for row in found:
            result.setdefault(row.old, []).append(row.effect)
    return result
