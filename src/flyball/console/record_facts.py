"""What each of the eleven records says in a few facts; the whole of it is its canonical content. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flyball.console import text_formats
from flyball.console.evidence import bound_sentence, deciding, exact_match, loss, number, rows_of
from flyball.records import (
    DatasetVersion,
    Deployment,
    EvalReport,
    Feedback,
    Finding,
    GateDecision,
    ModelVersion,
    Proposal,
    Record,
    Release,
    RequestRecord,
    TrainingRun,
)

State = Literal["ok", "attention", "bad", "active", "idle"]

TITLES: Mapping[str, str] = {
    "DatasetVersion": "Dataset",
    "TrainingRun": "Training run",
    "ModelVersion": "Model",
    "Release": "Release",
    "EvalReport": "Evaluation report",
    "GateDecision": "Gate decision",
    "Deployment": "Deployment",
    "RequestRecord": "Request",
    "Feedback": "Feedback",
    "Finding": "Finding",
    "Proposal": "Proposal",
}
VERDICTS: Mapping[str, State] = {"pass": "ok", "fail": "bad", "inconclusive": "attention"}
SEVERITIES: Mapping[str, State] = {"info": "active", "warning": "attention", "critical": "bad"}
DEPLOYMENT_STATES: Mapping[str, State] = {
    "requested": "active",
    "starting": "active",
    "ramping": "active",
    "live": "ok",
    "paused": "attention",
    "rolled_back": "bad",
    "failed": "bad",
    "retired": "idle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of a record: what, how much, and the record it leads to."""

    label: str
    value: str
    href: str | None = None


def facts(record: Record) -> tuple[Fact, ...]:
    """The few lines that somebody wants first."""
    return FACTS[type(record)](record)


def link(name: str | None) -> str | None:
    """The page of a record."""
    return f"/records/{name}" if name else None


def _ref(label: str, name: str | None) -> Fact:
    return Fact(label=label, value=text_formats.brief(name), href=link(name))


def _dataset(record: DatasetVersion) -> tuple[Fact, ...]:
    return (
        Fact(label="rows", value=text_formats.count(rows_of(record))),
        Fact(label="read", value=text_formats.count(record.rows_in)),
        Fact(label="dropped", value=text_formats.count(sum(record.dropped.values()))),
        Fact(label="labels", value=text_formats.count(len(record.labels))),
        *([Fact(label="preference pairs", value=text_formats.count(record.pairs))] if record.pairs else []),
        Fact(label="sources", value=", ".join(source.name for source in record.sources)),
    )


def _training(record: TrainingRun) -> tuple[Fact, ...]:
    found = loss(record)
    measured = (Fact(label=text_formats.words(found[0]), value=f"{found[1]:.4g}"),) if found else ()
    return (
        *measured,
        Fact(label="method", value=record.method),
        *([Fact(label="objective", value=str(record.recipe["objective"]))] if "objective" in record.recipe else []),
        Fact(label="steps", value=text_formats.count(record.steps)),
        _ref("dataset", record.dataset),
    )


def _model(record: ModelVersion) -> tuple[Fact, ...]:
    return (
        Fact(label="parameters", value=text_formats.compact(record.parameters)),
        Fact(label="size", value=text_formats.size(sum(file.size_bytes for file in record.files))),
        Fact(label="formats", value=", ".join(record.formats)),
        Fact(label="context", value=f"{text_formats.count(record.context_length)} tokens"),
        _ref("training run", record.training_run),
    )


def _release(record: Release) -> tuple[Fact, ...]:
    kind, labels = record.constraint.kind, len(record.constraint.labels)
    return (
        Fact(
            label="answers", value={"labels": f"one of {labels} labels", "json_schema": "JSON"}.get(kind, "free text")
        ),
        Fact(label="engine", value=f"{record.engine.kind}, {record.engine.slots} slots"),
        Fact(label="system prompt", value="yes" if record.system_prompt else "none"),
        Fact(label="examples", value=text_formats.count(len(record.examples))),
        Fact(label="input redaction", value=record.input_redaction),
        _ref("model", record.model),
    )


def _report(record: EvalReport) -> tuple[Fact, ...]:
    best = exact_match(record)
    measured: tuple[Fact, ...] = ()
    if best:
        value = f"{number(best, best.value)} ({number(best, best.lower)} to {number(best, best.upper)}, n = {best.n})"
        measured = (Fact(label=text_formats.words(best.name), value=value),)
    return (
        *measured,
        Fact(label="suites", value=", ".join(f"{s.name} ({text_formats.count(s.items)})" for s in record.suites)),
        Fact(label="failures", value=text_formats.count(record.failures)),
        Fact(label="engine", value=record.engine),
    )


def _decision(record: GateDecision) -> tuple[Fact, ...]:
    check = deciding(record)
    return (
        Fact(label="verdict", value=record.verdict),
        Fact(label="decided by", value=bound_sentence(check) if check else "no measure"),
        Fact(label="alpha", value=f"{record.alpha:g}"),
        Fact(
            label="compared with", value=text_formats.brief(record.baseline_release), href=link(record.baseline_release)
        ),
    )


def _deployment(record: Deployment) -> tuple[Fact, ...]:
    return (
        Fact(label="route", value=record.route),
        Fact(label="strategy", value=record.strategy),
        Fact(label="requested by", value=record.requested_by),
        Fact(label="reason", value=record.reason or text_formats.DASH),
        _ref("release", record.release),
        _ref("decision", record.decision),
    )


def _request(record: RequestRecord) -> tuple[Fact, ...]:
    return (
        Fact(label="outcome", value=f"{record.outcome}, {record.status}"),
        Fact(label="total", value=text_formats.milliseconds(record.total_ms)),
        Fact(label="cost", value=text_formats.usd(record.cost_usd)),
        Fact(label="story", value="the whole story of this answer", href=f"/requests/{record.id}"),
    )


def _feedback(record: Feedback) -> tuple[Fact, ...]:
    return (
        Fact(label="score", value=text_formats.plain(record.score)),
        Fact(label="label", value=record.label or text_formats.DASH),
        Fact(label="correction", value="yes" if record.has_correction else "no"),
        Fact(
            label="request",
            value=text_formats.brief(record.request),
            href=f"/requests/{record.request}" if record.request else None,
        ),
    )


def _finding(record: Finding) -> tuple[Fact, ...]:
    return (
        Fact(label="severity", value=record.severity),
        Fact(label="measure", value=text_formats.words(record.measure)),
        Fact(label="value", value=f"{record.value:.4g} (reference {record.reference:.4g})"),
        Fact(label="explanation", value=record.explanation),
    )


def _proposal(record: Proposal) -> tuple[Fact, ...]:
    return (
        Fact(label="action", value=record.action),
        Fact(label="corrections", value=text_formats.count(record.corrections)),
        Fact(label="rationale", value=record.rationale),
    )


FACTS: Mapping[type, Callable[[Any], tuple[Fact, ...]]] = {
    DatasetVersion: _dataset,
    TrainingRun: _training,
    ModelVersion: _model,
    Release: _release,
    EvalReport: _report,
    GateDecision: _decision,
    Deployment: _deployment,
    RequestRecord: _request,
    Feedback: _feedback,
    Finding: _finding,
    Proposal: _proposal,
}
