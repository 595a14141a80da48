"""Take the records that the build wrote into the ledger, and keep what serving and gates need of its outputs.

I/O: reads loop/, writes the ledger, .flyball/artifacts, .flyball/reports and .flyball/rows. Idempotent: a cloned or
restored pipeline brings its records with it.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from flyball.errors import NotFoundError
from flyball.records import (
    JSON,
    DatasetVersion,
    EvalReport,
    ModelVersion,
    Record,
    Release,
    TrainingRun,
    name_of,
)
from flyball.records.record_files import read_document
from flyball.serving.terms import recorded_terms
from flyball.whole_files import replace_file
from flyball.wiring import Places, Project

CHARGES: dict[type, str] = {TrainingRun: "training", EvalReport: "evaluation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The records of the build as it stands in loop/; no training run where a model is taken as it is."""

    dataset: DatasetVersion
    training_run: TrainingRun | None
    model: ModelVersion
    release: Release
    report: EvalReport


def take_in(project: Project) -> Build:
    """The build's records, all of them in the ledger."""
    return take_build(project, project.places, trained=project.settings.train.method != "none")


def take_build(project: Project, places: Places, *, trained: bool, beside: Mapping[str, JSON] | None = None) -> Build:
    """`take_in` of the build in other folders; `beside` is recorded with what the ledger did not have yet."""
    folders = (places.dataset, *([places.training] if trained else []), places.model, places.release, places.evaluation)
    documents = [read_document(folder / "record.json") for folder in folders]
    build = Build(
        dataset=cast(DatasetVersion, documents[0][0]),
        training_run=cast(TrainingRun, documents[1][0]) if trained else None,
        model=cast(ModelVersion, documents[-3][0]),
        release=cast(Release, documents[-2][0]),
        report=cast(EvalReport, documents[-1][0]),
    )
    check_chain(build)
    keep_rows(project, build.dataset, places.dataset)
    project.artifacts.put(name_of(build.model), places.model, build.model.files)
    keep_report(project, build.report, places.evaluation)
    if build.training_run:
        keep_curve(project, build.training_run, places.training)
    for record, recorded in documents:
        take_record(project, record, {**recorded, **(beside or {})})
    write_card(project, build)
    return build


def write_card(project: Project, build: Build) -> None:
    """Keep the release's model card beside its report; `flyball models card` prints what is known by then."""
    from flyball.compliance.model_card import model_card

    target = project.places.reports / name_of(build.report) / "model_card.md"
    replace_file(target, model_card(project.ledger, name_of(build.release)).encode(), durable=False)


def take_record(project: Project, record: Record, recorded: Mapping[str, JSON]) -> None:
    """Append a stage's record and, the first time, put the machine time that it took on the bill."""
    beside = recorded_terms(project.settings.release.engine) if isinstance(record, Release) else {}
    added = project.ledger.append(record, recorded={**recorded, **beside})
    kind = CHARGES.get(type(record))
    if added and kind:
        charge_seconds(project, kind, name_of(record), float(recorded.get("seconds", 0.0)))


def check_chain(build: Build) -> None:
    """The records must follow from each other, or loop/ is a mixture of builds."""
    run = build.training_run
    links = (
        *([("training", run.dataset, name_of(build.dataset))] if run else []),
        ("model", build.model.training_run, name_of(run) if run else None),
        ("release", build.release.model, name_of(build.model)),
        ("evaluation", build.report.release, name_of(build.release)),
    )
    for stage, found, expected in links:
        if found != expected:
            raise NotFoundError(
                f"loop/{stage} was made from {str(found)[:12]}, but loop/ now has {str(expected)[:12]}",
                cure="run `flyball run`, which brings every stage up to date",
            )


def charge_seconds(project: Project, kind: str, subject: str, seconds: float) -> None:
    """Put a stage's machine time on the bill."""
    from flyball.cost.charges import charge
    from flyball.cost.prices import machine_usd

    charge(
        project.ledger, kind=kind, subject=subject, usd=machine_usd(project.settings.cost, seconds), quantity=seconds
    )


def keep_report(project: Project, report: EvalReport, folder: Path) -> None:
    """Keep a report's per-item scores, so that every later decision can recompute."""
    target = project.places.reports / name_of(report)
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in ("items.jsonl", "answers.jsonl", "report.html", "report.json", "report.md", "junit.xml"):
        if (folder / name).is_file():
            shutil.copy2(folder / name, temporary / name)
    temporary.replace(target)


def keep_curve(project: Project, run: TrainingRun, folder: Path) -> None:
    """Keep a run's loss curve, since the next run replaces its folder; a training command of one's own has none."""
    source, target = folder / "curve.json", project.places.curves / f"{name_of(run)}.json"
    if source.is_file() and not target.exists():
        replace_file(target, source.read_bytes(), durable=False)


class RowRef(msgspec.Struct, frozen=True, kw_only=True):
    """Where one row came from, as its dataset read it; never its text. `erased`: with the person whose it was."""

    row: str
    split: str
    source: str
    line: int
    subject: str | None
    erased: bool = False


def keep_rows(project: Project, dataset: DatasetVersion, folder: Path) -> None:
    """Keep the row index of a dataset version: `flyball lineage` reads it without the build's libraries."""
    target = project.places.rows / f"{name_of(dataset)}.jsonl.gz"
    if target.exists():
        return
    from flyball.data.rows import read_rows  # pyarrow loads with it

    references = (
        RowRef(row=row.row_id, split=split.name, source=row.source, line=row.line, subject=row.subject)
        for split in dataset.splits
        for row in read_rows(folder, split.name)
    )
    write_rows(target, references)


def write_rows(path: Path, rows: Iterable[RowRef]) -> None:
    """Replace a row index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with gzip.GzipFile(temporary, "wb", mtime=0) as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
    temporary.replace(path)


def rows_of(project: Project, dataset: str) -> list[RowRef]:
    """The row index of a dataset version."""
    path = project.places.rows / f"{dataset}.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rb") as file:
        return [msgspec.json.decode(line, type=RowRef) for line in file]
