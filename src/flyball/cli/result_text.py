"""Records and results as JSON documents and as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from flyball.cli.output import pairs, show, table, warned
from flyball.data.dataset_warnings import read_warnings
from flyball.evaluation.reports.files import read_report
from flyball.monitoring.gate_cures import gate_cure
from flyball.records import DatasetVersion, Deployment, EvalReport, GateDecision, Record, name_of
from flyball.records.canonical import to_plain
from flyball.records.identity import short
from flyball.wiring import Project
from flyball.workflows.run import RunResult

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def record_document(record: Record) -> dict[str, Any]:
    """A record as JSON: its type, its id, its content."""
    return {"type": type(record).__name__, "id": name_of(record), "content": to_plain(record)}


def decision_document(decision: GateDecision) -> dict[str, Any]:
    """A gate decision as JSON, with what to do where it did not pass."""
    return {**record_document(decision), "cure": gate_cure(decision)}


def run_document(project: Project, result: RunResult) -> dict[str, Any]:
    """What `flyball run --json` prints: one object with everything that the loop made."""
    built = result.build
    deployment = result.deployment
    return {
        "changed": result.changed,
        "ran": list(result.ran),
        "dataset": {
            **record_document(built.dataset),
            "sides": sides_text(project, built.dataset),
            "warnings": read_warnings(project.places.dataset),
        },
        "training_run": record_document(built.training_run) if built.training_run else None,
        "model": record_document(built.model),
        "release": record_document(built.release),
        "evaluation": {**record_document(built.report), "metrics": metrics(built.report), **asked(project)},
        "gate": decision_document(result.decision),
        "deployment": deployment_document(project, deployment) if deployment else None,
    }


def sides_text(project: Project, dataset: DatasetVersion) -> str:
    """How many rows are on which side, which declared rows gave the validation side, and what pairs there are."""
    from flyball.data.splits import validation_from_train

    given = " (from the rows of `split: train`)" if validation_from_train(project.settings.data) else ""
    sides = ", ".join(f"{s.name} {s.rows}{given if s.name == 'validation' else ''}" for s in dataset.splits)
    return f"{sides}; {dataset.pairs} with a rejected answer" if dataset.pairs else sides


def asked(project: Project) -> dict[str, Any]:
    """How many requests the evaluation sent, and how many of them each step of the preparation changed."""
    path = project.places.evaluation / "report.json"
    details = read_report(path).details if path.is_file() else None
    return {"asked": details.asked, "prepared": details.prepared, "errors": details.errors} if details else {}


def lengths_text(document: Mapping[str, Any]) -> str | None:
    """What training and evaluation did with rows that are too long or of no use; None where there were none."""
    run = (document["training_run"] or {"content": {"metrics": {}}})["content"]["metrics"]
    most, evaluation = run.get("max_characters"), document["evaluation"]
    cut, left_out = int(run.get("rows_truncated", 0)), int(run.get("rows_too_long", 0))
    tested = evaluation.get("prepared", {}).get("cut", 0)
    refused = int(run.get("rows_refused", 0))
    said = []
    if most is not None and cut + left_out + tested:
        said.append(
            f"texts are cut after {int(most):,} characters: {cut} training rows and {tested} of {evaluation['asked']} "
            f"test requests; {left_out} training rows did not fit all the same and were left out"
        )
    if refused:
        said.append(f"the model's chat template refuses the turns of {refused} training rows, which were left out")
    return "; ".join(said) or None


def errors_text(evaluation: Mapping[str, Any]) -> str | None:
    """How many requests of the evaluation got no answer, and the commonest reason; None where all got one."""
    errors = evaluation.get("errors") or {}
    if not errors:
        return None
    reason, count = max(errors.items(), key=lambda pair: pair[1])
    failed = evaluation.get("failed", sum(errors.values()))
    said = f"{failed} of {evaluation['asked']} test requests; most often ({count}): {reason}"
    return f"{said}; the report lists them"


def metrics(report: EvalReport) -> dict[str, Any]:
    """Each measure over a whole suite with its interval."""
    return {
        f"{m.suite}.{m.name}": {"value": m.value, "lower": m.lower, "upper": m.upper, "level": m.level, "n": m.n}
        for m in report.measures
        if m.slice is None
    }


def deployment_document(project: Project, deployment: Deployment) -> dict[str, Any]:
    from flyball.workflows.status import state_of

    return {**record_document(deployment), "state": state_of(project, deployment.id)}


def run_text(document: Mapping[str, Any]) -> str:
    """The end of `flyball run` for people."""
    deployment = document["deployment"]
    dataset = document["dataset"]["content"]
    if not document["changed"]:
        head = "Nothing to do: nothing has changed since the last run."
    else:
        head = f"Ran: {', '.join(document['ran']) or 'no stage; gate and deployment only'}"
    dropped = sum(dataset["dropped"].values())
    named, sides = short(document["dataset"]["id"]), document["dataset"]["sides"]
    lines = {
        "dataset": f"{named}  {sides}; {dropped} of {dataset['rows_in']} rows dropped",
        "model": f"{short(document['model']['id'])}  {document['model']['content']['parameters']:,} parameters",
        "release": short(document["release"]["id"]),
    }
    if long := lengths_text(document):
        lines["long texts"] = long
    if failed := errors_text(document["evaluation"]):
        lines["no answer"] = failed
    for name, value in document["evaluation"]["metrics"].items():
        lines[name] = f"{show(value['value'])}  [{show(value['lower'])}, {show(value['upper'])}]  n={value['n']}"
    facts = warned(pairs(lines), document["dataset"]["warnings"])
    text = f"{head}\n\n{facts}\n\n{decision_text(document['gate'])}"
    if deployment:
        state = deployment["state"]
        text += f"\n\n{click.style('deployment', bold=True)}  {deployment['id']}  {state}"
        text += "\n  → `flyball up` serves it" if state == "requested" else ""
    return text


def decision_text(document: Mapping[str, Any]) -> str:
    """A gate decision: the verdict, and for each rule the bound that decided."""
    content = document["content"]
    verdict = content["verdict"]
    rows = [
        {
            "measure": f"{check['suite']}.{check['measure']}",
            "rule": check["rule"].replace("_", " "),
            "threshold": check["threshold"],
            "value": check["value"],
            "bound": check["bound"],
            "n": check["n"],
            "verdict": check["verdict"],
            "why": check["reason"],
        }
        for check in content["checks"]
    ]
    columns = ("measure", "rule", "threshold", "value", "bound", "n", "verdict", "why")
    text = f"gate: {click.style(verdict, fg=COLOURS[verdict], bold=True)}\n{table(rows, columns)}"
    cure = document.get("cure")
    return f"{text}\n  → {cure}" if cure else text


def conditions_text(document: Mapping[str, Any]) -> str:
    """What a server was asked with, what went wrong, what was noticed, and where the report is."""
    facts = {"asked with": document["conditions"]}
    for cases in document["cases"]:
        if cases.errors:
            facts[f"{cases.suite}: no answer"] = {
                "refused": cases.refused,
                "failed": cases.failed,
                "not asked": cases.not_asked,
            }
    facts |= {f"{count} ×": error for error, count in document["errors"].items()}
    return warned(pairs({**facts, "report": document["report"]}), document["notes"])


def evaluation_text(document: Mapping[str, Any]) -> str:
    """An evaluation, with its gate decision where there is one."""
    measures = [m for m in document["evaluation"]["content"]["measures"] if m["slice"] is None]
    text = table(measures, ("suite", "name", "value", "lower", "upper", "n"))
    if "conditions" in document:
        text += f"\n\n{conditions_text(document)}"
    return f"{text}\n\n{decision_text(document['gate'])}" if document["gate"] else text
