"""Evaluate one release: load the suites, ask, score, measure, report. I/O: reads rows, asks a completer, writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from flyball.evaluation.case_answers import Completer, Partial, ask_all
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.follow_ups import FollowingUp
from flyball.evaluation.item_scores import ItemScore, items_hash, write_items
from flyball.evaluation.prepared_requests import changed_by_step
from flyball.evaluation.reports.details import details_of
from flyball.evaluation.reports.files import write_report
from flyball.evaluation.scorer import measure_suites, score_suite
from flyball.evaluation.suites.catalog import OF_THE_ROWS, load_suites
from flyball.evaluation.suites.suite import Suite, bodies_of
from flyball.evaluation.training_overlap import Compared, compare_with_training
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.records import JSON, DatasetVersion, EvalReport, Preparation, Release, fingerprint_of, name_of
from flyball.telemetry import Progress, quiet

PARTIAL = "partial.jsonl"
NOT_COMPARED = Compared()


def evaluate(
    config: EvaluateConfig,
    *,
    project: str,
    task: str,
    release: Release,
    release_name: str,
    dataset: DatasetVersion | None,
    dataset_dir: Path | None,
    root: Path,
    completer: Completer,
    engine: str,
    out: Path,
    progress: Progress = quiet,
    trained_on: str | None = None,
) -> EvalReport:
    """The report on a release; `trained_on`: the dataset version of its model, with whose rows own suites are compared.

    `out` gets items.jsonl, report.json, report.html, report.md and junit.xml.

    A run that was killed goes on from `out`/partial.jsonl, which is gone when the report is written.
    """
    suites = load_suites(config.suites, dataset_dir=dataset_dir, root=root, max_items=config.max_items)
    own = [suite for name, suite in zip(config.suites, suites, strict=True) if name not in OF_THE_ROWS]
    progress("comparing suites with the training rows", 0, 0)
    compared = compare_with_training(
        own, trained_on=trained_on, dataset_dir=dataset_dir, redaction=release.input_redaction
    )
    return evaluate_suites(
        suites,
        config,
        project=project,
        release=release_name,
        dataset=name_of(dataset) if dataset else None,
        classification=task == "classification" or release.constraint.kind == "labels",
        labels=release.constraint.labels,
        preparation=release.preparation,
        compared=compared,
        completer=completer,
        engine=engine,
        out=out,
        progress=progress,
    )


def evaluate_suites(
    suites: Sequence[Suite],
    config: EvaluateConfig,
    *,
    project: str,
    release: str,
    dataset: str | None,
    classification: bool,
    labels: Sequence[str] = (),
    preparation: Preparation | None = None,
    request: Mapping[str, JSON] | None = None,
    compared: Compared = NOT_COMPARED,
    completer: Completer,
    engine: str,
    out: Path,
    progress: Progress,
) -> EvalReport:
    """Ask and score loaded suites, and write the report; `request`: what each asks for besides its messages."""
    out.mkdir(parents=True, exist_ok=True)
    references = tuple(suite.reference() for suite in suites)
    plan = fingerprint_of([project, release, engine, PROMPT_PATH, references])
    partial = Partial(out / PARTIAL, plan)
    bodies = {key: {**(request or {}), **body} for key, body in bodies_of(suites).items()}
    asker = FollowingUp(completer)
    answers = ask_all(bodies, asker, concurrency=config.concurrency, partial=partial, progress=progress)
    scores: list[ItemScore] = [
        score for suite in suites for score in score_suite(suite, answers, classification=classification, labels=labels)
    ]
    report = EvalReport(
        project=project,
        release=release,
        dataset=dataset,
        suites=references,
        measures=measure_suites(suites, scores, level=config.level),
        items_hash=items_hash(scores),
        failures=len({(score.suite, score.item) for score in scores if score.error}),
        engine=engine,
        prompt_path=PROMPT_PATH,
        overlaps=compared.overlaps,
    )
    progress("writing the report", 0, 0)
    prepared = changed_by_step(bodies_of(suites).values(), preparation)
    write_items(out / "items.jsonl", scores)
    details = details_of(suites, scores, answers, prepared)
    conditions: dict[str, JSON] = {**(request or {}), "concurrency": config.concurrency}
    notes = (*details.notes, *compared.notes)
    details = msgspec.structs.replace(details, conditions=conditions, notes=notes, leaked=compared.cases)
    write_report(out, report, details, progress=progress)
    partial.path.unlink(missing_ok=True)
    return report
