"""What each of the eleven records says in a few facts and tables; the whole of it is its canonical content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flyball.console import wording
from flyball.records import (
    JSON,
    Check,
    DatasetVersion,
    Deployment,
    EvalReport,
    Feedback,
    Finding,
    GateDecision,
    Measure,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of a record: its caption, column heads, and rows of text; `numeric` columns stand to the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


def facts(record: Record) -> tuple[Fact, ...]:
    """The few lines that somebody wants first."""
    return FACTS[type(record)](record)


def sheets(record: Record) -> tuple[Sheet, ...]:
    """Tables where a record has rows of its own."""
    match record:
        case DatasetVersion():
            return _dataset_sheets(record)
        case EvalReport():
            return (_measures(record.measures),)
        case GateDecision():
            return (_checks(record.checks),)
        case Finding():
            return (_pairs("Evidence", record.evidence),)
        case TrainingRun():
            return (_pairs("Metrics", record.metrics), _pairs("Recipe", record.recipe))
        case ModelVersion():
            files = tuple((f.path, wording.size(f.size_bytes), f.sha256[:16]) for f in record.files)
            return (Sheet(caption="Files", head=("path", "size", "sha256"), rows=files, numeric=(1,)),)
    return ()


def _pairs(caption: str, values: Mapping[str, JSON]) -> Sheet:
    rows = tuple((wording.words(key), wording.plain(value)) for key, value in values.items())
    return Sheet(caption=caption, head=("what", "value"), rows=rows, numeric=(1,))


def _dataset_sheets(record: DatasetVersion) -> tuple[Sheet, ...]:
    splits = tuple((split.name, wording.count(split.rows)) for split in record.splits)
    sources = tuple((s.name, wording.count(s.rows), s.content_hash[:16]) for s in record.sources)
    reasons = [("dropped", *item) for item in record.dropped.items()]
    reasons += [("changed", *item) for item in record.changed.items()]
    changes = tuple((what, wording.words(reason), wording.count(rows)) for what, reason, rows in reasons)
    return (
        Sheet(caption="Splits", head=("split", "rows"), rows=splits, numeric=(1,)),
        Sheet(caption="Dropped and changed", head=("what", "reason", "rows"), rows=changes, numeric=(2,)),
        Sheet(caption="Sources", head=("source", "rows", "sha256"), rows=sources, numeric=(1,)),
    )


def _measures(measures: tuple[Measure, ...]) -> Sheet:
    rows = tuple(
        (
            m.suite + (f" · {m.slice}" if m.slice else ""),
            wording.words(m.name),
            number(m, m.value),
            f"{number(m, m.lower)} {wording.DASH} {number(m, m.upper)}",
            wording.percent(m.level, 0),
            wording.count(m.n),
        )
        for m in measures
    )
    head = ("suite", "measure", "value", "interval", "level", "n")
    return Sheet(caption="Measures", head=head, rows=rows, numeric=(2, 3, 4, 5))


def number(measure: Measure, value: float) -> str:
    """A measured value: in percent where it is a proportion."""
    return wording.percent(value) if measure.successes is not None else f"{value:.4g}"


def _checks(checks: tuple[Check, ...]) -> Sheet:
    rows = tuple(
        (
            check.verdict,
            f"{wording.words(check.measure)} on {check.suite}",
            rule(check),
            wording.DASH if check.bound is None else f"{check.bound:.4f}",
            wording.DASH if check.value is None else f"{check.value:.4f}",
            wording.count(check.n),
            check.reason + (f" (needs {wording.count(check.needed_n)})" if check.needed_n else ""),
        )
        for check in checks
    )
    head = ("verdict", "measure", "rule", "bound", "value", "n", "reason")
    return Sheet(caption="Checks", head=head, rows=rows, numeric=(3, 4, 5))


RULES: Mapping[str, Callable[[float], str]] = {
    "at_least": lambda threshold: f"at least {threshold:g}",
    "at_most": lambda threshold: f"at most {threshold:g}",
    "not_worse_than_live": lambda threshold: f"not worse than live by {threshold:g}",
    "better_than_live": lambda threshold: f"better than live by {threshold:g}",
}


def rule(check: Check) -> str:
    """What a check demands."""
    return RULES[check.rule](check.threshold)


def slack(check: Check) -> float:
    """How far the bound lies on the good side of what was demanded; negative when it does not hold."""
    if check.bound is None:
        return float("inf") if check.verdict == "pass" else float("-inf")
    match check.rule:
        case "at_most":
            return check.threshold - check.bound
        case "not_worse_than_live":
            return check.bound + check.threshold
    return check.bound - check.threshold


def deciding(decision: GateDecision) -> Check | None:
    """The check that decided: the one with the verdict of the whole whose bound has the least room."""
    candidates = [check for check in decision.checks if check.verdict == decision.verdict]
    return min(candidates, key=slack, default=None)


def bound_sentence(check: Check) -> str:
    """The bound that decided, in one line."""
    what = f"{wording.words(check.measure)} on {check.suite}"
    if check.bound is None:
        return f"{what}, {rule(check)}: {check.reason}"
    return f"{what}: bound {check.bound:.3f}, {rule(check)} (n = {wording.count(check.n)})"


def exact_match(report: EvalReport) -> Measure | None:
    """The measure that stands for the whole report: exact match on the test suite, else its first."""
    ranked = sorted(
        (m for m in report.measures if m.slice is None), key=lambda m: (m.name != "exact_match", m.suite != "test")
    )
    return ranked[0] if ranked else None


def loss(run: TrainingRun) -> tuple[str, float] | None:
    """The loss that stands for a training run: held-out before training, with its name."""
    names = sorted(name for name in run.metrics if "loss" in name)
    names.sort(key=lambda name: not any(word in name for word in ("valid", "eval", "held")))
    return (names[0], run.metrics[names[0]]) if names else None


def rows_of(dataset: DatasetVersion) -> int:
    """Rows in all splits together."""
    return sum(split.rows for split in dataset.splits)


def link(name: str | None) -> str | None:
    """The page of a record."""
    return f"/records/{name}" if name else None


def _ref(label: str, name: str | None) -> Fact:
    return Fact(label=label, value=wording.brief(name), href=link(name))


def _dataset(record: DatasetVersion) -> tuple[Fact, ...]:
    return (
        Fact(label="rows", value=wording.count(rows_of(record))),
        Fact(label="read", value=wording.count(record.rows_in)),
        Fact(label="dropped", value=wording.count(sum(record.dropped.values()))),
        Fact(label="labels", value=wording.count(len(record.labels))),
        Fact(label="sources", value=", ".join(source.name for source in record.sources)),
    )


def _training(record: TrainingRun) -> tuple[Fact, ...]:
    found = loss(record)
    measured = (Fact(label=wording.words(found[0]), value=f"{found[1]:.4g}"),) if found else ()
    return (
        *measured,
        Fact(label="method", value=record.method),
        Fact(label="steps", value=wording.count(record.steps)),
        _ref("dataset", record.dataset),
    )


def _model(record: ModelVersion) -> tuple[Fact, ...]:
    return (
        Fact(label="parameters", value=wording.compact(record.parameters)),
        Fact(label="size", value=wording.size(sum(file.size_bytes for file in record.files))),
        Fact(label="formats", value=", ".join(record.formats)),
        Fact(label="context", value=f"{wording.count(record.context_length)} tokens"),
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
        Fact(label="examples", value=wording.count(len(record.examples))),
        Fact(label="input redaction", value=record.input_redaction),
        _ref("model", record.model),
    )


def _report(record: EvalReport) -> tuple[Fact, ...]:
    best = exact_match(record)
    measured: tuple[Fact, ...] = ()
    if best:
        value = f"{number(best, best.value)} ({number(best, best.lower)} to {number(best, best.upper)}, n = {best.n})"
        measured = (Fact(label=wording.words(best.name), value=value),)
    return (
        *measured,
        Fact(label="suites", value=", ".join(f"{s.name} ({wording.count(s.items)})" for s in record.suites)),
        Fact(label="failures", value=wording.count(record.failures)),
        Fact(label="engine", value=record.engine),
    )


def _decision(record: GateDecision) -> tuple[Fact, ...]:
    check = deciding(record)
    return (
        Fact(label="verdict", value=record.verdict),
        Fact(label="decided by", value=bound_sentence(check) if check else "no measure"),
        Fact(label="alpha", value=f"{record.alpha:g}"),
        Fact(label="compared with", value=wording.brief(record.baseline_release), href=link(record.baseline_release)),
    )


def _deployment(record: Deployment) -> tuple[Fact, ...]:
    return (
        Fact(label="route", value=record.route),
        Fact(label="strategy", value=record.strategy),
        Fact(label="requested by", value=record.requested_by),
        Fact(label="reason", value=record.reason or wording.DASH),
        _ref("release", record.release),
        _ref("decision", record.decision),
    )


def _request(record: RequestRecord) -> tuple[Fact, ...]:
    return (
        Fact(label="outcome", value=f"{record.outcome}, {record.status}"),
        Fact(label="total", value=wording.milliseconds(record.total_ms)),
        Fact(label="cost", value=wording.usd(record.cost_usd)),
        Fact(label="story", value="the whole story of this answer", href=f"/requests/{record.id}"),
    )


def _feedback(record: Feedback) -> tuple[Fact, ...]:
    return (
        Fact(label="score", value=wording.plain(record.score)),
        Fact(label="label", value=record.label or wording.DASH),
        Fact(label="correction", value="yes" if record.has_correction else "no"),
        Fact(
            label="request",
            value=wording.brief(record.request),
            href=f"/requests/{record.request}" if record.request else None,
        ),
    )


def _finding(record: Finding) -> tuple[Fact, ...]:
    return (
        Fact(label="severity", value=record.severity),
        Fact(label="measure", value=wording.words(record.measure)),
        Fact(label="value", value=f"{record.value:.4g} (reference {record.reference:.4g})"),
        Fact(label="explanation", value=record.explanation),
    )


def _proposal(record: Proposal) -> tuple[Fact, ...]:
    return (
        Fact(label="action", value=record.action),
        Fact(label="corrections", value=wording.count(record.corrections)),
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
