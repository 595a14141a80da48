"""Models side by side, and dataset versions side by side, newest first. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from flyball.console import text_formats
from flyball.console.evidence import exact_match, loss, number, rows_of
from flyball.console.record_facts import VERDICTS, State, link
from flyball.records import DatasetVersion, EvalReport, GateDecision, ModelVersion, Release, TrainingRun
from flyball.storage.deployments import pointer, routes
from flyball.storage.ledger import EXPERIMENT, Ledger, Stored

SHOWN = 50
LOOKED_AT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure, the record it leads to, and its tone where it is a verdict."""

    text: str
    href: str | None = None
    tone: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """A table of versions, newest first; `at_ms`: when each was made; `left_out`: whether there are older ones.

    `runs`: the training run of each row, where runs can be compared.
    """

    title: str
    head: tuple[str, ...]
    numeric: tuple[int, ...]
    rows: tuple[tuple[Cell, ...], ...]
    at_ms: tuple[int, ...]
    left_out: bool
    runs: tuple[str | None, ...] = ()


def read_models(ledger: Ledger) -> Versions:
    """Models: their run and data, and of the newest release of each how it scored, what the gate said, if it serves."""
    stored = ledger.find(ModelVersion, limit=SHOWN + 1)
    live = {found.live_release for route in routes(ledger) if (found := pointer(ledger, route))}
    releases: dict[str, list[str]] = {}
    experiments: dict[str, str] = {}
    for one in ledger.find(Release, limit=LOOKED_AT):
        experiments[one.id] = one.recorded.get(EXPERIMENT) or ""
        releases.setdefault(cast(Release, one.record).model, []).append(one.id)
    reports: dict[str, Stored] = {}
    for one in ledger.find(EvalReport, limit=LOOKED_AT):
        reports.setdefault(cast(EvalReport, one.record).release, one)
    decisions: dict[str, Stored] = {}
    for one in ledger.find(GateDecision, limit=LOOKED_AT):
        decisions.setdefault(cast(GateDecision, one.record).release, one)
    runs = {one.id: cast(TrainingRun, one.record) for one in ledger.find(TrainingRun, limit=LOOKED_AT)}
    rows = []
    for one in stored[:SHOWN]:
        model, mine = cast(ModelVersion, one.record), releases.get(one.id, [])
        serving = next((name for name in mine if name in live), None)
        built = next((name for name in mine if not experiments[name]), None)
        release = serving or built or (mine[0] if mine else None)
        rows.append(
            (
                _name(one.id),
                _run(model.training_run, runs, experiments.get(release or "")),
                _name(model.dataset),
                Cell(text=text_formats.compact(model.parameters)),
                _name(release),
                _score(reports.get(release or "")),
                _verdict(decisions.get(release or "")),
                Cell(text="live", tone="ok") if serving else Cell(text=text_formats.DASH),
            )
        )
    head = ("model", "training run", "dataset", "parameters", "release", "score", "gate", "serves")
    made = _versions("Models", head, (3,), rows, stored)
    trained = tuple(cast(ModelVersion, one.record).training_run for one in stored[:SHOWN])
    return replace(made, runs=tuple(run if run in runs else None for run in trained)) if any(trained) else made


def read_datasets(ledger: Ledger) -> Versions:
    """Dataset versions: their rows side by side, and how many more or fewer than in the version before."""
    stored = ledger.find(DatasetVersion, limit=SHOWN + 1)
    before = [cast(DatasetVersion, one.record) for one in stored[1:]]
    rows = []
    for at, one in enumerate(stored[:SHOWN]):
        dataset = cast(DatasetVersion, one.record)
        sides = {split.name: split.rows for split in dataset.splits}
        change = rows_of(dataset) - rows_of(before[at]) if at < len(before) else None
        dropped = sum(dataset.dropped.values())
        rows.append(
            (
                _name(one.id),
                *(Cell(text=text_formats.count(sides.get(name, 0))) for name in ("train", "validation", "test")),
                Cell(text=text_formats.DASH if change is None else f"{change:+,}".replace("-", "−")),
                Cell(text=f"{text_formats.count(dropped)} of {text_formats.count(dataset.rows_in)}"),
                Cell(text=text_formats.count(len(dataset.labels))),
                Cell(text=", ".join(source.name for source in dataset.sources)),
            )
        )
    head = ("dataset", "train", "validation", "test", "change", "dropped", "labels", "sources")
    return _versions("Datasets", head, (1, 2, 3, 4, 5, 6), rows, stored)


def _versions(
    title: str,
    head: tuple[str, ...],
    numeric: tuple[int, ...],
    rows: Sequence[tuple[Cell, ...]],
    stored: Sequence[Stored],
) -> Versions:
    times = tuple(one.at_ms for one in stored[:SHOWN])
    return Versions(
        title=title, head=head, numeric=numeric, rows=tuple(rows), at_ms=times, left_out=len(stored) > SHOWN
    )


def _name(name: str | None) -> Cell:
    return Cell(text=text_formats.brief(name), href=link(name))


def _run(name: str | None, runs: dict[str, TrainingRun], experiment: str | None) -> Cell:
    if name is None:
        return Cell(text="taken as it is")
    found = loss(runs[name]) if name in runs else None
    told = f"{text_formats.words(found[0])} {found[1]:.4g}" if found else text_formats.brief(name)
    return Cell(text=f"{experiment}, {told}" if experiment else told, href=link(name))


def _score(report: Stored | None) -> Cell:
    best = exact_match(cast(EvalReport, report.record)) if report else None
    if report is None or best is None:
        return Cell(text="not evaluated")
    return Cell(text=f"{text_formats.words(best.name)} {number(best, best.value)}", href=link(report.id))


def _verdict(decision: Stored | None) -> Cell:
    if decision is None:
        return Cell(text=text_formats.DASH)
    verdict = cast(GateDecision, decision.record).verdict
    return Cell(text=verdict, href=link(decision.id), tone=VERDICTS[verdict])
