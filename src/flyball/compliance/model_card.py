"""A model card: one release on one page, from its records alone. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import yaml
from sqlalchemy import select

from flyball.errors import NotFoundError
from flyball.records import DatasetVersion, EvalReport, GateDecision, ModelVersion, Release, TrainingRun
from flyball.records.identity import short
from flyball.storage import tables
from flyball.storage.ledger import Ledger

R = TypeVar("R")


def model_card(ledger: Ledger, release: str) -> str:
    """Markdown: what it is, what it learned from, what it scored, what the gate said, what it is not good for."""
    stored = ledger.get(release)
    if not isinstance(stored.record, Release):
        raise NotFoundError(f"{release} is not a release", cure="see `flyball status` for the releases")
    name, composed = stored.id, stored.record
    model = _record(ledger, composed.model, ModelVersion)
    run = _record(ledger, model.training_run if model else None, TrainingRun)
    dataset = _record(ledger, run.dataset if run else None, DatasetVersion)
    report = _newest_child(ledger, name, EvalReport)
    decision = _newest_child(ledger, name, GateDecision)
    sections = (
        [f"# Release {short(name)} of {composed.project}", f"Fingerprint `{name}`."],
        _about(composed, model, run),
        _data(dataset),
        _measures(report),
        _gate(decision),
        _limits(ledger, (name, composed.model, model.training_run if model else None), composed, report),
    )
    body = "\n\n".join(line for section in sections for line in section)
    return f"---\n{_front_matter(name, composed, report)}---\n{body}\n"


def _front_matter(name: str, release: Release, report: EvalReport | None) -> str:
    """The head that Hugging Face's model cards have: the task, and each measure as a result (`model-index`)."""
    task = "text-classification" if release.task == "classification" else "text-generation"
    results = [
        {
            "task": {"type": task},
            "dataset": {"type": one.suite, "name": one.suite},
            "metrics": [{"type": one.name, "name": one.name, "value": one.value}],
        }
        for one in (report.measures if report else ())
        if one.slice is None
    ]
    head: dict[str, object] = {"library_name": "flyball", "pipeline_tag": task, "tags": ["flyball"]}
    if results:
        head["model-index"] = [{"name": f"{release.project}-{short(name)}", "results": results}]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _about(release: Release, model: ModelVersion | None, run: TrainingRun | None) -> list[str]:
    lines = [f"- Task: {release.task}"]
    if model is not None:
        lines.append(
            f"- Model: {model.architecture}, {model.parameters:,} parameters, {model.context_length} tokens of context"
        )
    if run is not None:
        origin = f"tuned from `{short(run.base_model)}`" if run.base_model else "trained from scratch"
        objective = f", objective {run.recipe['objective']}" if "objective" in run.recipe else ""
        teacher = f", teacher `{short(run.teacher)}`" if run.teacher else ""
        lines.append(f"- Training: {origin}, method {run.method}{objective}{teacher}, {run.steps:,} steps")
    lines.append(f"- Artefact: {release.artifact}, engine {release.engine.kind}")
    lines.append(f"- Personal data in requests: redaction profile `{release.input_redaction}`")
    return ["## What it is", "\n".join(lines)]


def _data(dataset: DatasetVersion | None) -> list[str]:
    if dataset is None:
        return ["## Data", "Not known: the model was imported."]
    table = _table(("split", "rows"), [(split.name, f"{split.rows:,}") for split in dataset.splits])
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dataset.dropped.items())) or "none"
    changed = ", ".join(f"{count:,} {step}" for step, count in sorted(dataset.changed.items())) or "none"
    text = f"{dataset.rows_in:,} rows came in. Dropped: {dropped}. Changed: {changed}. Labels: {len(dataset.labels)}."
    return ["## Data", text, table]


def _measures(report: EvalReport | None) -> list[str]:
    if report is None:
        return ["## Measures", "Not evaluated."]
    rows = [
        (
            one.suite,
            one.name + (f" ({one.slice})" if one.slice else ""),
            f"{one.value:.3f}",
            f"{one.lower:.3f} to {one.upper:.3f} ({one.level:.0%})",
            f"{one.n:,}",
        )
        for one in report.measures
    ]
    text = f"Measured on the packaged artefact in {report.engine}; {report.failures} answers failed and count as wrong."
    return ["## Measures", text, _table(("suite", "measure", "value", "interval", "n"), rows)]


def _gate(decision: GateDecision | None) -> list[str]:
    if decision is None:
        return ["## Gate", "Not decided: this release may not be deployed."]
    rows = [
        (
            f"{one.suite}/{one.measure}",
            f"{one.rule} {one.threshold:g}",
            "–" if one.bound is None else f"{one.bound:.3f}",
            one.verdict,
            one.reason,
        )
        for one in decision.checks
    ]
    text = f"Verdict: **{decision.verdict}** at α = {decision.alpha:g}."
    return ["## Gate", text, _table(("measure", "rule", "bound", "verdict", "reason"), rows)]


def _limits(ledger: Ledger, names: Iterable[str | None], release: Release, report: EvalReport | None) -> list[str]:
    limits = []
    if release.constraint.kind == "labels":
        limits.append(f"It answers with one of {len(release.constraint.labels)} labels, also where none of them fits.")
    if release.constraint.kind == "none":
        limits.append("Its answers are not constrained: they may be wrong, invented or unsuitable.")
    limits.append(
        "The measures hold for text like the evaluation data; monitoring reports when traffic looks different."
    )
    if report is None or not any(one.slice for one in report.measures):
        limits.append("No groups of users were measured apart: equal quality for all of them is not shown.")
    if _erased(ledger, names):
        limits.append("It was trained on rows of people who have since been erased: retrain or retire it.")
    return ["## Known limits", "\n".join(f"- {limit}" for limit in limits)]


def _erased(ledger: Ledger, names: Iterable[str | None]) -> bool:
    column = tables.erasures.c
    wanted = [name for name in names if name]
    query = select(column.seq).where(column.project == ledger.project, column.old.in_(wanted)).limit(1)
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def _record(ledger: Ledger, name: str | None, kind: type[R]) -> R | None:
    try:
        record = ledger.get(name).record if name else None
    except NotFoundError:
        return None
    return record if isinstance(record, kind) else None


def _newest_child(ledger: Ledger, name: str, kind: type[R]) -> R | None:
    found = {edge.child: ledger.get(edge.child) for edge in ledger.children(name) if edge.relation == "release"}
    fitting = [(stored.seq, stored.record) for stored in found.values() if isinstance(stored.record, kind)]
    record = max(fitting, key=lambda pair: pair[0])[1] if fitting else None
    return record if isinstance(record, kind) else None


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
