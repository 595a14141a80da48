"""Measure a release in its own engine, through the production prompt path. I/O: starts an engine, sends it requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flyball.cost.prices import request_usd
from flyball.engines.catalog import is_elsewhere
from flyball.errors import GateInconclusive, NotFoundError
from flyball.evaluation.config import suite_kind
from flyball.evaluation.evaluation_run import evaluate
from flyball.evaluation.measure_names import ELSEWHERE
from flyball.evaluation.reports.answer_costs import Price
from flyball.inference.completions import HttpCompleter
from flyball.records import DatasetVersion, EvalReport, ModelVersion, Release, name_of
from flyball.records.record_files import read_document
from flyball.serving.engine_processes import engine_process
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.engine_terms import EngineTerms

ELSEWHERE_S, OURS_S = 60.0, 300.0
"""How long one answer may take: an engine of ours shares the processor with whatever else runs, several at a time."""


def evaluate_release(
    project: Project,
    release: Release,
    *,
    artifact: Path,
    dataset: DatasetVersion | None,
    out: Path,
    progress: Progress,
    suites: Sequence[str] | None = None,
) -> EvalReport:
    """Start the release's engine, run `suites` (else the project's) against it, stop it; the files are in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    progress("starting the engine", 0, 0)
    adapter = project.artifacts.path(release.adapter) if release.adapter else None
    terms, name = EngineTerms(project), name_of(release)
    way, behind = terms.way(name, release), terms.behind(name, release)
    config, asked = project.settings.serving, project.settings.evaluate
    timeout = project.settings.rollout.ready_timeout_s
    with engine_process(
        release, artifact, timeout_s=timeout, adapter=adapter, config=config, way=way, behind=behind
    ) as url:
        has_labels = project.settings.task == "classification" or release.constraint.kind == "labels"
        has_labels = has_labels or any(suite_kind(name) == "labelled" for name in asked.suites)
        patience_s = ELSEWHERE_S if is_elsewhere(release) else OURS_S
        completer = HttpCompleter(
            url, release=release, model=project.name, way=way, timeout_s=patience_s, probabilities=has_labels
        )
        return evaluate(
            msgspec.structs.replace(asked, suites=asked.suites if suites is None else tuple(suites)),
            project=project.name,
            task=project.settings.task,
            release=release,
            release_name=name,
            dataset=dataset,
            dataset_dir=project.places.dataset,
            root=project.root,
            completer=completer,
            engine=release.engine.kind,
            out=out,
            progress=progress,
            trained_on=trained_on(project, release),
            price=price_of(project, release),
            access=project.way(None, None),
        )


def price_of(project: Project, release: Release) -> Price:
    """Dollars for tokens in and out, as the gateway charges them now."""
    own = EngineTerms(project).of(name_of(release), release).usd_per_million
    config = project.settings.cost
    return lambda prompt, completion: request_usd(config, prompt_tokens=prompt, completion_tokens=completion, own=own)


def trained_on(project: Project, release: Release) -> str | None:
    """The dataset version whose rows the release's model was trained on; None where it was not trained here."""
    try:
        model: object = project.ledger.get(release.model).record
    except NotFoundError:  # its build is not in the ledger yet
        path = project.places.model / "record.json"
        model = read_document(path)[0] if path.is_file() else None
        if not isinstance(model, ModelVersion) or name_of(model) != release.model:
            return None
    return model.dataset if isinstance(model, ModelVersion) else None


def reevaluate(project: Project, release_name: str, progress: Progress) -> str:
    """Measure an older release on today's suites, for a fair comparison; the name of its new report.

    Suites that are scored elsewhere are left out: their files hold the scores of another release by now.
    """
    from flyball.workflows.record_intake import keep_report, take_record  # intake imports nothing from here

    release = project.ledger.get(release_name).record
    if not isinstance(release, Release):
        raise GateInconclusive(f"{release_name} is not a release", cure="see `flyball models`")
    out = project.places.state / "partial" / f"evaluation-{release_name[:12]}"
    elsewhere = is_elsewhere(release)  # nothing of it is loaded here
    artifact = project.places.model if elsewhere else project.artifacts.path(release.model)
    began = time.monotonic()
    suites = [name for name in project.settings.evaluate.suites if suite_kind(name) != ELSEWHERE]
    report = evaluate_release(
        project, release, artifact=artifact, dataset=None, out=out, progress=progress, suites=suites
    )
    keep_report(project, report, out)
    take_record(project, report, {"seconds": round(time.monotonic() - began, 2)})
    return name_of(report)
