"""Evaluate one release: load the suites, ask, score, measure, report. I/O: reads rows, asks a completer, writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flyball.evaluation.answer_judge import rate_answers
from flyball.evaluation.case_answers import Completer, Partial, ask_all
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.follow_ups import FollowingUp
from flyball.evaluation.rated_answers import write_answers
from flyball.evaluation.reports.answer_costs import Price
from flyball.evaluation.scored_report import Measured, files_of, report_scores
from flyball.evaluation.suites.catalog import OF_THE_ROWS, load_suites
from flyball.evaluation.suites.suite import Suite, bodies_of
from flyball.evaluation.training_overlap import Compared, compare_with_training
from flyball.inference.http_client import ServerAccess
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
    price: Price | None = None,
    access: ServerAccess | None = None,
) -> EvalReport:
    """The report on a release; `access`: who knows the secrets of judges;
    `trained_on`: the dataset version of its model, with whose rows own suites are compared;
    `price`: of tokens in and out, for the report's details.

    `out` gets items.jsonl, report.json, report.html, report.md and junit.xml.

    A run that was killed goes on from `out`/partial.jsonl, which is gone when the report is written.
    """
    suites = load_suites(config.suites, dataset_dir=dataset_dir, root=root, max_items=config.max_items)
    own = [
        suite
        for name, suite in zip(config.suites, suites, strict=True)
        if name not in OF_THE_ROWS and not suite.elsewhere
    ]
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
        price=price,
        access=access,
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
    price: Price | None = None,
    access: ServerAccess | None = None,
) -> EvalReport:
    """Ask and score loaded suites, and write the report; `request`: what each asks for besides its messages.

    Suites that were scored elsewhere are not asked; a file of them that names another release is refused first.
    """
    files_of(suites, release)
    out.mkdir(parents=True, exist_ok=True)
    plan = fingerprint_of([project, release, engine, PROMPT_PATH, tuple(suite.reference() for suite in suites)])
    partial = Partial(out / PARTIAL, plan)
    bodies = {key: {**(request or {}), **body} for key, body in bodies_of(suites).items()}
    asker = FollowingUp(completer)
    answers = ask_all(bodies, asker, concurrency=config.concurrency, partial=partial, progress=progress)
    ratings = rate_answers(
        suites,
        answers,
        access=access,
        concurrency=config.concurrency,
        partial=out,
        plan=plan,
        progress=progress,
    )
    measured = Measured(
        project=project,
        release=release,
        dataset=dataset,
        engine=engine,
        classification=classification,
        labels=labels,
        preparation=preparation,
        conditions={**(request or {}), "concurrency": config.concurrency},
        price=price,
    )
    report = report_scores(
        suites,
        answers,
        measured,
        level=config.level,
        compared=compared,
        ratings=ratings,
        out=out,
        progress=progress,
    )
    write_answers(out, suites, answers)
    for kept in (partial.path, *out.glob("ratings-*.jsonl")):
        kept.unlink(missing_ok=True)
    return report
