"""Variants of a model measured side by side on validation rows, in their engines. I/O: artefacts, engines, a folder.

Timings are of this machine. What was measured is kept in `.flyball/optimise`, so a run that was stopped goes on.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import FlyballError, InputError
from flyball.evaluation.suite_names import suite_name
from flyball.records import ModelVersion, Release, fingerprint_of, name_of
from flyball.records.identity import short
from flyball.telemetry import Progress, log
from flyball.whole_files import replace_file
from flyball.wiring import Project
from flyball.workflows.aliases import model_named
from flyball.workflows.build_lock import only_one
from flyball.workflows.evaluate import evaluate_release
from flyball.workflows.evaluate_release import artifact_of, rows_of
from flyball.workflows.package import newest_release, package_as
from flyball.workflows.search import checked_rows
from flyball.workflows.search_space import measured_by

Target = Literal["latency", "cost", "size"]
FORMS = ("gguf:f16", "gguf:q8_0", "gguf:q4_k_m")
SAMPLED_EVERY_S = 0.05


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: its quality with its interval of 95 %, and what it takes on this machine."""

    name: str
    model: str
    release: str
    quality: float
    lower: float
    upper: float
    n: int
    latency_ms: float
    """Median of an answer, as many at once as the release's engine has slots."""
    answers_per_s: float
    memory_mb: float
    """Peak resident memory of the engine's processes."""
    size_bytes: int
    """Of the files that the engine loads."""

    @property
    def good_per_s(self) -> float:
        """Good answers a second, where quality is a share."""
        return self.answers_per_s * self.quality

    def takes(self, target: Target) -> float:
        """What is to be small: milliseconds, seconds per good answer, or bytes."""
        if target == "latency":
            return self.latency_ms
        return self.size_bytes if target == "size" else 1 / self.good_per_s if self.good_per_s else float("inf")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The variants, the first of which is the model as it is; those that could not be had, with reasons."""

    target: Target
    suite: str
    measure: str
    variants: tuple[Variant, ...]
    left_out: dict[str, str]
    machine_usd_per_hour: float

    @property
    def front(self) -> tuple[str, ...]:
        """Variants that no other is as good as in both quality and target, and better in one (Pareto)."""
        return tuple(
            one.name
            for one in self.variants
            if not any(dominates(other, one, self.target) for other in self.variants if other is not one)
        )

    @property
    def suggested(self) -> Variant:
        """The least in the target among variants whose quality is within the interval of the model as it is."""
        first = self.variants[0]
        return min((one for one in self.variants if one.quality >= first.lower), key=lambda one: one.takes(self.target))

    def usd_per_1000_good(self, variant: Variant) -> float | None:
        """Dollars of machine time for 1,000 good answers; None where no price is set or quality is no share."""
        if not self.machine_usd_per_hour or self.measure != "exact_match" or not variant.good_per_s:
            return None
        return 1000 / variant.good_per_s * self.machine_usd_per_hour / 3600


def dominates(one: Variant, other: Variant, target: Target) -> bool:
    """Whether `one` is at least as good as `other` in quality and target, and better in one."""
    pairs = ((other.quality, one.quality), (one.takes(target), other.takes(target)))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def optimise(
    project: Project,
    models: Sequence[str],
    *,
    target: Target,
    forms: Sequence[str] = FORMS,
    progress: Progress,
    say: Callable[[str], None],
) -> Comparison:
    """Measure the first model as it is and in each form, and the other models as they are; nothing is released.

    ConfigError or InputError where there is no measure, or no validation row, to compare by.
    """
    suite, measure = measured_by(project.settings)
    if project.settings.search.direction != "maximize":
        raise InputError("search.direction is minimize", cure="name a search.measure of which more is better")
    rows_of(project, wait=True, say=say)
    dataset = checked_rows(project, suite)
    first = model_named(project, models[0])[1]
    variants: list[Variant] = []
    left_out: dict[str, str] = {}
    with only_one(project.places.run / "optimise.lock", what="an optimisation", wait=False, say=say):
        as_they_are = [(shown(project, name), name, "") for name in models]
        converted = [(form, models[0], form) for form in forms if form not in first.formats]
        for called, name, form in (as_they_are[0], *converted, *as_they_are[1:]):
            stored, record = model_named(project, name)
            model = stored.id
            if not form and record.dataset not in (None, dataset):
                log.warning("%s was trained on other rows, maybe on some that it is asked now", called)
            key = fingerprint_of([model, form, dataset, suite, measure, project.settings.evaluate.max_items])
            kept = project.places.state / "optimise" / f"{key[:32]}.json"
            if kept.is_file():
                variants.append(msgspec.structs.replace(read_variant(kept), name=called))
                continue
            say(f"measuring {called}")
            try:
                release = package_as(project, name, form)[1] if form else as_release(project, model)
                found = measured(project, release, name=called, suite=suite, measure=measure, progress=progress)
            except FlyballError as error:
                if not variants:
                    raise
                left_out[called] = error.message
                continue
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, msgspec.json.encode(found), durable=True)
            variants.append(found)
    return Comparison(
        target=target,
        suite=suite_name(suite),
        measure=measure,
        variants=tuple(variants),
        left_out=left_out,
        machine_usd_per_hour=project.settings.cost.machine_usd_per_hour,
    )


def measured(project: Project, release: Release, *, name: str, suite: str, measure: str, progress: Progress) -> Variant:
    """One release asked the suite in its engine."""
    if is_elsewhere(release):
        raise InputError("it answers on a server elsewhere, whose memory and size are not known", cure="name a model")
    folder = artifact_of(project, release)
    model = project.ledger.get(release.model).record
    assert isinstance(model, ModelVersion)
    identifier = fingerprint_of([release.model, suite])
    out = project.places.state / "partial" / f"optimise-{short(identifier)}"
    shutil.rmtree(out, ignore_errors=True)
    asking = Asking(progress)
    dataset = rows_of(project, wait=True, say=lambda _: None)
    try:
        with peak_of_children() as peak:
            report = evaluate_release(
                project, release, artifact=folder, dataset=dataset, out=out, progress=asking, suites=[suite]
            )
    finally:
        shutil.rmtree(out, ignore_errors=True)
    found = {one.name: one for one in report.measures if one.suite == suite_name(suite) and one.slice is None}
    quality, latency = found[measure], found["latency_p50_ms"]
    loads = kind_of(release).loads
    loaded = [file for file in model.files if file.path.endswith(f".{loads}")] or model.files
    return Variant(
        name=name,
        model=release.model,
        release=name_of(release),
        quality=quality.value,
        lower=quality.lower,
        upper=quality.upper,
        n=quality.n,
        latency_ms=latency.value,
        answers_per_s=asking.per_s,
        memory_mb=peak[0],
        size_bytes=sum(file.size_bytes for file in loaded),
    )


class Asking:
    """Passes progress on, and times how fast answers come in."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen: list[tuple[float, int]] = []

    def __call__(self, what: str, done: int, whole: int) -> None:
        if what == "asking":
            self._seen.append((time.monotonic(), done))
        self._progress(what, done, whole)

    @property
    def per_s(self) -> float:
        """Answers a second between the first and the last one."""
        if len(self._seen) < 2:
            return 0.0
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


@contextmanager
def peak_of_children() -> Iterator[list[float]]:
    """The peak resident memory of this process's children, in megabytes, in a list of one number."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while not ended.wait(SAMPLED_EVERY_S):
            total = 0
            for child in own.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def as_release(project: Project, model: str) -> Release:
    """The newest release of a model."""
    record = newest_release(project, model).record
    assert isinstance(record, Release)
    return record


def shown(project: Project, name: str) -> str:
    """A model as a table names it: what the user called it, and how it is packaged."""
    stored, model = model_named(project, name)
    called = name if not stored.id.startswith(name) else short(stored.id)
    return f"{called} ({', '.join(one for one in model.formats if one != 'safetensors') or 'safetensors'})"


def read_variant(path: Path) -> Variant:
    """What was measured before."""
    return msgspec.json.decode(path.read_bytes(), type=Variant)
