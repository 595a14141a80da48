"""One trial of a search, as its own process: train, package, compose, measure. I/O: the trial's folder, an engine."""

from __future__ import annotations

import math
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import msgspec

from flyball.errors import CorruptionError, FlyballError
from flyball.evaluation.suite_names import suite_name
from flyball.records import DatasetVersion, Record, name_of
from flyball.records.record_files import read_document, write_document
from flyball.settings import parse_settings
from flyball.supervision.parent_death import ends_with
from flyball.telemetry import Progress, peak_memory_mb
from flyball.whole_files import replace_file
from flyball.wiring import Project

JOB, RESULT, LOOKS = "trial.json", "result.json", "looks.jsonl"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial is to do: the whole flyball.yaml with its recipe in it, and what it is measured by."""

    root: str
    parent: int
    name: str
    document: dict[str, Any]
    dataset: str
    suite: str
    measure: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How a training validates when so many tenths of it are done."""

    tenths: int
    loss: float
    exact_match: float


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial found: the measure with its interval over `n` cases, or why there is none."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    seconds: float = 0.0
    peak_mb: int = 0
    error: str = ""
    cure: str = ""


def run_trial(folder: Path, progress: Progress) -> TrialResult:
    """Do what `folder`/trial.json says; result.json appears whole, and all else there may be removed."""
    began = time.monotonic()
    job = msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    if not ends_with(job.parent, signal.SIGKILL):
        sys.exit(0)  # the search has ended before the kernel could be asked
    project = Project(root=Path(job.root), settings=parse_settings(job.document), trial=folder)
    try:
        found = measured(project, job, folder, progress)
    finally:
        project.close()
    result = msgspec.structs.replace(found, seconds=round(time.monotonic() - began, 2), peak_mb=round(peak_memory_mb()))
    leave(folder, result)
    return result


def leave(folder: Path, result: TrialResult) -> None:
    """Write the result for the search that waits."""
    replace_file(folder / RESULT, msgspec.json.encode(result), durable=True)


def read_result(folder: Path) -> TrialResult | None:
    """What a trial has left; None where it has not ended by itself."""
    try:
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=TrialResult)
    except (OSError, msgspec.MsgspecError):
        return None


def measured(project: Project, job: Job, folder: Path, progress: Progress) -> TrialResult:
    """Build the recipe under `folder`/loop, and ask it the suite in its engine."""
    from flyball.workflows import stage  # torch and engines load with the stages
    from flyball.workflows.evaluate import evaluate_release
    from flyball.workflows.tracked_evaluation import track_report

    places = project.places
    places.loop.mkdir(parents=True, exist_ok=True)
    if not places.dataset.is_symlink():
        places.dataset.symlink_to(project.root / "loop" / "dataset")
    check_dataset(places.dataset, job.dataset)

    def watch(tenths: int, loss: float, exact_match: float) -> None:
        with (folder / LOOKS).open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(Look(tenths=tenths, loss=loss, exact_match=exact_match)) + b"\n")

    if project.settings.train.method != "none":
        run = stage.training(project, progress, trial=job.name, watch=watch)
        write_record(places.training, run)
    model = stage.model(project, progress)
    write_record(places.model, model)
    release = stage.release(project, progress)
    write_record(places.release, release)
    dataset = cast(DatasetVersion, read_document(places.dataset / "record.json")[0])
    report = evaluate_release(
        project,
        release,
        artifact=places.model,
        dataset=dataset,
        out=places.evaluation,
        progress=progress,
        suites=[job.suite],
    )
    check_dataset(places.dataset, job.dataset)
    track_report(project, report, release, model)
    wanted = (m for m in report.measures if (m.suite, m.name, m.slice) == (suite_name(job.suite), job.measure, None))
    found = next(wanted, None)
    if found is None or not math.isfinite(found.value):
        return TrialResult(error=f"{job.suite} gave no {job.measure}", cure="see the suite's cases, or name another")
    return TrialResult(value=found.value, lower=found.lower, upper=found.upper, n=found.n)


def check_dataset(folder: Path, wanted: str) -> None:
    """CorruptionError where the rows are no longer those of the search."""
    if name_of(read_document(folder / "record.json")[0]) != wanted:
        raise CorruptionError("the rows were built again while a trial ran", cure="run the search again")


def write_record(folder: Path, record: Record) -> None:
    """A stage's record beside its outputs, for the stage after it."""
    write_document(folder / "record.json", record)


def trial_error(folder: Path, error: FlyballError) -> None:
    """Leave why a trial failed: the same recipe would fail again."""
    leave(folder, TrialResult(error=error.message, cure=error.cure))


def job_of(folder: Path, job: Job) -> None:
    """Give a trial its folder with what it is to do."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / JOB, msgspec.json.encode(job), durable=False)


def looks_of(folder: Path) -> list[Look]:
    """How a training has validated so far, a half-written line left out; each tenth once."""
    try:
        lines = (folder / LOOKS).read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    found = {look.tenths: look for look in (msgspec.json.decode(line, type=Look) for line in lines if line)}
    return list(found.values())
