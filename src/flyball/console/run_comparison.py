"""Training runs side by side: their loss curves, how their recipes differ, what they came to. I/O: ledger, .flyball."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flyball.console import text_formats
from flyball.console.build_files import curve_of
from flyball.console.evidence import exact_match, number
from flyball.console.record_tables import RecordTable
from flyball.errors import InputError
from flyball.records import JSON, EvalReport, TrainingRun
from flyball.storage.ledger import EXPERIMENT, Ledger, Stored
from flyball.training.loss_curve import CurvePoint

MOST = 6
"""Runs in one comparison: a chart shows no more lines that can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One run: its name, the experiment it is of, and its loss by step where that is kept here."""

    name: str
    experiment: str | None
    curve: tuple[CurvePoint, ...]

    @property
    def label(self) -> str:
        """What tells it from the others in a legend."""
        return f"{self.experiment} {self.name[:8]}" if self.experiment else self.name[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The chosen runs, in the order they were chosen; `left_out`: how many more were."""

    runs: tuple[ComparedRun, ...]
    tables: tuple[RecordTable, ...]
    left_out: int

    def points(self) -> list[dict[str, JSON]]:
        """The points of all curves: run, step, loss."""
        return [{"run": run.label, "step": p.step, "loss": p.loss} for run in self.runs for p in run.curve]

    def query(self) -> str:
        """The query of a page or chart of the same runs."""
        return "&".join(f"run={run.name}" for run in self.runs)


def read_run_comparison(ledger: Ledger, names: Sequence[str], *, root: Path) -> RunComparison:
    """The comparison of these runs; NotFoundError for one that is not there, InputError for another record."""
    stored = list({one.id: one for one in (ledger.get(name) for name in names if name)}.values())
    for one in stored:
        if not isinstance(one.record, TrainingRun):
            name = text_formats.brief(one.id)
            raise InputError(f"{name} is not a training run", cure="tick runs on the page of models")
    chosen = stored[:MOST]
    runs = tuple(
        ComparedRun(name=one.id, experiment=one.recorded.get(EXPERIMENT), curve=curve_of(root, one.id))
        for one in chosen
    )
    head = ("", *(run.label for run in runs))
    tables = (
        _table("Settings that differ", head, [recipe_of(cast(TrainingRun, one.record)) for one in chosen], same=False),
        _table("What they came to", head, [_figures(ledger, one) for one in chosen], same=True),
    )
    return RunComparison(runs=runs, tables=tables if runs else (), left_out=len(stored) - len(chosen))


def recipe_of(run: TrainingRun) -> dict[str, str]:
    """What went into a run, by dotted name."""
    parents = {"dataset": text_formats.brief(run.dataset), "base model": text_formats.brief(run.base_model)}
    if run.teacher:
        parents["teacher"] = text_formats.brief(run.teacher)
    return {**parents, **{name: setting(value) for name, value in flattened(run.recipe)}}


def setting(value: JSON) -> str:
    """A setting's value; one that nobody set has a default of its own."""
    return "default" if value is None else text_formats.plain(value)


def flattened(recipe: Mapping[str, JSON], prefix: str = "") -> Iterator[tuple[str, JSON]]:
    """The leaves of nested settings."""
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _figures(ledger: Ledger, one: Stored) -> dict[str, str]:
    run = cast(TrainingRun, one.record)
    named = dict(text_formats.named(name, value) for name, value in run.metrics.items())
    took = {name: value for name, value in one.recorded.items() if name == "seconds"}
    return {**_score(ledger, one.id), **named, **dict(text_formats.named(*item) for item in took.items())}


def _score(ledger: Ledger, run: str) -> dict[str, str]:
    """How the newest evaluation of a release with the run's model came out."""
    reports = [
        ledger.get(report.child)
        for model in ledger.children(run)
        for release in ledger.children(model.child)
        for report in ledger.children(release.child)
    ]
    newest = max((one for one in reports if isinstance(one.record, EvalReport)), key=lambda one: one.seq, default=None)
    best = exact_match(cast(EvalReport, newest.record)) if newest else None
    if best is None:
        return {"evaluated": "not yet"}
    bounds = f"{number(best, best.lower)} to {number(best, best.upper)}"
    return {f"{text_formats.words(best.name)} on {best.suite}": f"{number(best, best.value)} ({bounds})"}


def _table(caption: str, head: tuple[str, ...], columns: Sequence[Mapping[str, str]], *, same: bool) -> RecordTable:
    """One row a key; `same`: with those in which all columns agree."""
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [(key, *(column.get(key, text_formats.DASH) for column in columns)) for key in keys]
    kept = tuple(row for row in rows if same or len(set(row[1:])) > 1)
    return RecordTable(caption=caption, head=head, rows=kept, numeric=tuple(range(1, len(head))))
