"""Evaluate, and decide about, any release by its name; its model need not be from this build. I/O: engines, ledger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from flyball.errors import GateInconclusive, InputError, NotFoundError
from flyball.evaluation.suites.catalog import OF_THE_ROWS
from flyball.monitoring.health import reports_on
from flyball.records import DatasetVersion, EvalReport, GateDecision, ModelVersion, Release, name_of
from flyball.records.identity import short
from flyball.records.record_files import read_document
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.build_lock import only_one
from flyball.workflows.evaluate import evaluate_release
from flyball.workflows.gate import gate
from flyball.workflows.record_intake import keep_report, keep_rows, take_record
from flyball.workflows.run import build
from flyball.workflows.tracked_evaluation import track_report


def evaluate_named(
    project: Project, name: str, *, wait: bool, progress: Progress, say: Callable[[str], None]
) -> EvalReport:
    """Measure a release on the project's suites; the report, kept and in the ledger.

    The rows are brought up to date first, where a suite is made of them. A killed evaluation goes on where it stopped.
    """
    release_name, release = release_named(project, name)
    artifact = artifact_of(project, release)
    dataset = rows_of(project, wait=wait, say=say) if needs_rows(project) else None
    out = project.places.state / "partial" / f"evaluation-{short(release_name)}"
    began = time.monotonic()
    with only_one(project.places.run / "build.lock", what="a build", wait=wait, say=say):
        report = evaluate_release(project, release, artifact=artifact, dataset=dataset, out=out, progress=progress)
        keep_report(project, report, out)
        shutil.rmtree(out, ignore_errors=True)
    take_record(project, report, {"seconds": round(time.monotonic() - began, 2)})
    track_report(project, report, release, cast(ModelVersion, project.ledger.get(release.model).record))
    return report


def gate_named(
    project: Project, name: str, *, route: str, progress: Progress, say: Callable[[str], None]
) -> GateDecision:
    """Decide about a release on its newest report; GateInconclusive when nothing was measured yet."""
    release_name, _ = release_named(project, name)
    found = reports_on(project.ledger, release_name)
    if not found:
        raise GateInconclusive(
            f"release {short(release_name)} was not measured yet", cure=f"flyball evaluate {short(release_name)}"
        )
    return gate(project, cast(EvalReport, found[0].record), route=route, progress=progress, say=say)


def release_named(project: Project, name: str) -> tuple[str, Release]:
    """A release by its name, its first digits, or its model's where that has one release; InputError for another."""
    stored = project.ledger.get(name)
    if not isinstance(stored.record, Release):
        raise InputError(f"{name} is a {type(stored.record).__name__}, not a release", cure="see `flyball models`")
    return stored.id, stored.record


def artifact_of(project: Project, release: Release) -> Path:
    """The folder with the release's model: from the store, or of the build as it stands."""
    try:
        return project.artifacts.path(release.model)
    except NotFoundError:
        path = project.places.model / "record.json"
        if not path.is_file() or name_of(read_document(path)[0]) != release.model:
            raise
        return project.places.model


def needs_rows(project: Project) -> bool:
    """Whether a suite is made of the project's own rows."""
    return any(name in OF_THE_ROWS for name in project.settings.evaluate.suites)


def rows_of(project: Project, *, wait: bool, say: Callable[[str], None]) -> DatasetVersion:
    """The project's dataset, brought up to date, in the ledger."""
    build(project, stage="dataset", wait=wait, say=say)
    record, recorded = read_document(project.places.dataset / "record.json")
    dataset = cast(DatasetVersion, record)
    keep_rows(project, dataset, project.places.dataset)
    take_record(project, dataset, recorded)
    return dataset
