"""One stage of the build, as DVC runs it: reads what is before it, writes outputs and its record. I/O: loop/."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from flyball import __version__
from flyball.data.dataset_folder import replaced_folder
from flyball.dvc.pipeline import teacher_of
from flyball.errors import FlyballError, NotFoundError
from flyball.records import JSON, DatasetVersion, EvalReport, ModelVersion, Record, Release, TrainingRun
from flyball.records.canonical import fingerprint
from flyball.records.record_files import read_document, write_document
from flyball.settings import expand, source_path
from flyball.telemetry import Progress, peak_memory_mb
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.training.training_run import Watch

AGREEMENT = "agreement.json"
"""Beside a model that was taken as it is: whether its package gives its probabilities (probability_check.py)."""


def run_stage(project: Project, name: str, progress: Progress) -> Record:
    """Run one stage and write its record.json; the record."""
    if name not in STAGE_FUNCTIONS:
        raise NotFoundError(f"no stage {name}", cure=f"stages: {', '.join(STAGE_FUNCTIONS)}")
    began = time.monotonic()
    folder, function = STAGE_FUNCTIONS[name]
    if name == "dataset":  # DVC leaves it in place (`persist`), so that the last version stays until the next is whole
        with replaced_folder(project.places.dataset) as out:
            record: Record = dataset(project, progress, out=out)
            noted = noted_before(project.places.dataset / "record.json", record) or circumstances(record, began)
            write_document(out / "record.json", record, noted)
        return record
    record = function(project, progress)
    out = getattr(project.places, folder)
    noted = circumstances(record, began)
    if (out / AGREEMENT).is_file():
        noted["agreement"] = msgspec.json.decode((out / AGREEMENT).read_bytes())
    write_document(out / "record.json", record, noted)
    return record


def noted_before(path: Path, record: Record) -> Mapping[str, JSON]:
    """What is noted beside the same record already: built again to the same, nothing after it has to run again."""
    try:
        earlier, noted = read_document(path)
    except FlyballError:
        return {}  # none, or one that cannot be read: it is replaced
    return noted if earlier == record else {}


def circumstances(record: Record, began: float) -> dict[str, JSON]:
    """What is noted beside a record and never hashed."""
    noted: dict[str, JSON] = {"flyball": __version__, "python": platform.python_version()}
    if not isinstance(record, Release):  # made in no time: composed again to the same, DVC has nothing to do after it
        noted |= {
            "seconds": round(time.monotonic() - began, 2),
            "peak_mb": round(peak_memory_mb()),
            "at_ms": time.time_ns() // 1_000_000,
        }
    return noted


def dataset(project: Project, progress: Progress, *, out: Path | None = None) -> DatasetVersion:
    """collect → clean → redact → deduplicate → validate → split."""
    from flyball.data.config import Fields, SourceConfig
    from flyball.data.dataset_stage import Source, build_dataset  # pyarrow loads with it

    settings = project.settings
    sources = [Source(config=source, path=source_path(source.path, project.root)) for source in settings.data.sources]
    corrections = project.places.corrections
    if settings.data.production.corrections and corrections.is_file() and corrections.stat().st_size:
        fields = Fields(text="text", label="label", subject="subject", id="id")
        config = SourceConfig(path=str(corrections), name="production", fields=fields)
        sources.append(Source(config=config, path=corrections))
    return build_dataset(
        settings.data,
        project=project.name,
        task=settings.task,
        sources=sources,
        key=project.key.row_key,
        suppressed=suppressed(project.places.suppressions),
        out=out or project.places.dataset,
        trains=settings.train.method != "none",
        progress=progress,
    )


def training(
    project: Project, progress: Progress, *, trial: str | None = None, watch: Watch | None = None
) -> TrainingRun:
    """Rows and recipe in, weights out; rows are rendered as the release of these settings will be asked."""
    # Read by OpenMP when torch loads: threads that spin at barriers cost fourfold where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from flyball.registry.release_composition import examples_of
    from flyball.training.conversations import Head
    from flyball.training.training_run import Teacher, train  # torch loads with it

    config, asked = project.settings.train, project.settings.release
    version, _ = read_document(project.places.dataset / "record.json")
    teacher = teacher_of(project)
    return train(
        config,
        teacher=Teacher(folder=teacher[0], name=teacher[1]) if teacher else None,
        project=project.name,
        task=project.settings.task,
        dataset=cast(DatasetVersion, version),
        dataset_dir=project.places.dataset,
        base_dir=expand(config.base, project.root) if config.base else None,
        out=fresh(project.places.training),
        tracking_uri=project.tracking_uri,
        checkpoints_dir=project.places.checkpoints,
        experiment=project.environment.get("DVC_EXP_NAME"),
        progress=progress,
        head=Head(
            system=asked.system_prompt or "",
            examples=examples_of(asked),
            labels=project.settings.task == "classification" and asked.constraint != "none",
        ),
        trial=trial,
        watch=watch,
    )


def model(project: Project, progress: Progress) -> ModelVersion:
    """Weights as the engine will load them."""
    progress("packaging", 0, 0)
    if project.settings.train.method == "none":
        return model_as_it_is(project, progress)
    run, _ = read_document(project.places.training / "record.json")
    profile = project.places.dataset / "profile.json"
    if project.settings.train.method == "linear":
        from flyball.registry.linear_package import package_linear

        return package_linear(
            project.places.training,
            run=cast(TrainingRun, run),
            project=project.name,
            profile=profile if profile.is_file() else None,
            out=fresh(project.places.model),
        )
    from flyball.registry.packaging import package  # numpy and gguf load with it

    return package(
        project.places.training,
        config=project.settings.package,
        run=cast(TrainingRun, run),
        project=project.name,
        profile=profile if profile.is_file() else None,
        out=fresh(project.places.model),
    )


def model_as_it_is(project: Project, progress: Progress) -> ModelVersion:
    """A model that exists already: nothing was trained, and no rows went in."""
    from flyball.workflows.import_model import model_source, read_model

    out = fresh(project.places.model)
    engine = project.settings.release.engine
    taken = read_model(project, model_source(project), engine=engine, out=out, progress=progress)
    (out / AGREEMENT).write_bytes(msgspec.json.encode(taken.agreement))
    return taken.model


def release(project: Project, _progress: Progress) -> Release:
    """All that decides an answer, under one fingerprint."""
    from flyball.registry.release_composition import compose  # keeps the CLI light
    from flyball.workflows.import_model import check_adapter, release_of
    from flyball.workflows.release_preparation import preparation_for

    settings = project.settings
    packaged, _ = read_document(project.places.model / "record.json")
    version, _ = read_document(project.places.dataset / "record.json")
    check_adapter(project)
    fresh(project.places.release).mkdir(parents=True)
    return compose(
        release_of(settings.release, cast(ModelVersion, packaged)),
        project=project.name,
        task=settings.task,
        model=cast(ModelVersion, packaged),
        labels=cast(DatasetVersion, version).labels,
        redaction=settings.data.redact.name,
        preparation=preparation_for(
            settings,
            model=cast(ModelVersion, packaged),
            model_dir=project.places.model,
            dataset=cast(DatasetVersion, version),
            max_characters=_trained_characters(project),
        ),
    )


def _trained_characters(project: Project) -> int | None:
    """After how many characters training cut texts; None for a model that nobody trained here."""
    if project.settings.train.method == "none":
        return None
    run, _ = read_document(project.places.training / "record.json")
    most = cast(TrainingRun, run).metrics.get("max_characters")
    return None if most is None else int(most)


def evaluation(project: Project, progress: Progress) -> EvalReport:
    """The packaged model, in its engine, through the prompt path that production uses."""
    from flyball.evaluation.reports.files import metrics_of
    from flyball.workflows.doctor import verify_model
    from flyball.workflows.evaluate import evaluate_release  # engines load with it
    from flyball.workflows.tracked_evaluation import track_report

    verify_model(project)
    composed, _ = read_document(project.places.release / "record.json")
    version, _ = read_document(project.places.dataset / "record.json")
    partial = project.places.state / "partial" / f"evaluation-{fingerprint(composed)[:12]}"
    report = evaluate_release(
        project,
        cast(Release, composed),
        artifact=project.places.model,
        dataset=cast(DatasetVersion, version),
        out=partial,
        progress=progress,
    )
    fresh(project.places.evaluation)
    partial.replace(project.places.evaluation)
    metrics = msgspec.json.encode(metrics_of(report), order="sorted")
    project.places.metrics.write_bytes(msgspec.json.format(metrics, indent=1) + b"\n")
    packaged, _ = read_document(project.places.model / "record.json")
    track_report(project, report, cast(Release, composed), cast(ModelVersion, packaged))
    return report


def fresh(folder: Path) -> Path:
    """The folder's place, empty: a stage writes all of its outputs or none."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def suppressed(path: Path) -> frozenset[str]:
    """Keyed hashes of people whose rows must not be collected again."""
    return frozenset(msgspec.json.decode(path.read_bytes(), type=list[str])) if path.is_file() else frozenset()


StageFunction = Callable[[Project, Progress], Record]
STAGE_FUNCTIONS: dict[str, tuple[str, StageFunction]] = {
    "dataset": ("dataset", dataset),
    "training": ("training", training),
    "model": ("model", model),
    "release": ("release", release),
    "evaluation": ("evaluation", evaluation),
}
