"""The files of a report: report.json, report.html, report.md, junit.xml. I/O: writes into the report's folder.

They can be written again later, with a gate's decision: `write_report(…, decision=…)`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from flyball.errors import CorruptionError, NotFoundError
from flyball.evaluation.measures.summaries import ERRORS
from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.html import render
from flyball.evaluation.reports.markdown import report_markdown
from flyball.records import EvalReport, GateDecision, name_of
from flyball.records.canonical import to_plain
from flyball.telemetry import Progress, quiet

NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class ReportDocument(msgspec.Struct, frozen=True, kw_only=True):
    """report.json: the record with its name, the details, and the gate's decision where there is one."""

    id: str
    report: EvalReport
    details: Details
    decision: GateDecision | None = None


def write_report(
    out: Path,
    report: EvalReport,
    details: Details,
    *,
    decision: GateDecision | None = None,
    progress: Progress = quiet,
) -> None:
    """Write the four files."""
    document = ReportDocument(id=name_of(report), report=report, details=details, decision=decision)
    (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    (out / "junit.xml").write_bytes(junit(report, decision, details))
    (out / "report.md").write_text(report_markdown(report, details, decision), encoding="utf-8")
    progress("drawing the report", 0, 0)
    (out / "report.html").write_text(render(report, details, decision), encoding="utf-8")


def read_report(path: Path) -> ReportDocument:
    """A report.json; CorruptionError when it is none."""
    if not path.is_file():
        raise NotFoundError(f"no report at {path}", cure="run `flyball evaluate`")
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReportDocument)
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} is not a report: {error}", cure="run `flyball evaluate` again") from error


def metrics_of(report: EvalReport) -> dict[str, Any]:
    """What `dvc metrics diff` compares: value and interval of each measure over a whole suite; latency left out."""
    return {
        f"{measure.suite}.{measure.name}": {"value": measure.value, "lower": measure.lower, "upper": measure.upper}
        for measure in report.measures
        if measure.slice is None and not measure.name.startswith("latency")
    }


def junit(report: EvalReport, decision: GateDecision | None = None, details: Details | None = None) -> bytes:
    """JUnit XML: one test case a measure, and one a rule of the gate (failed, or skipped when inconclusive).

    How many cases were right, wrong, or without an answer are properties of their suite; why none, its output.
    """
    outcomes = {found.suite: found for found in details.outcomes} if details else {}
    root = ElementTree.Element("testsuites", name=f"flyball {report.project}")
    for suite in report.suites:
        whole = [m for m in report.measures if m.suite == suite.name and m.slice is None]
        node = ElementTree.SubElement(root, "testsuite", name=suite.name, tests=str(len(whole)), failures="0")
        if counts := outcomes.get(suite.name):
            listed = ElementTree.SubElement(node, "properties")
            for name in ("right", "wrong", "errors", "refused", "failed", "not_asked"):
                ElementTree.SubElement(listed, "property", name=f"cases.{name}", value=str(getattr(counts, name)))
        for measure in whole:
            case = ElementTree.SubElement(node, "testcase", classname=suite.name, name=measure.name)
            shown = f"{measure.value:.4g} [{measure.lower:.4g}, {measure.upper:.4g}] n={measure.n}"
            if measure.name == ERRORS and details:
                shown = "\n".join([shown, *(f"{count} × {error}" for error, count in details.errors.items())])
            ElementTree.SubElement(case, "system-out").text = printable(shown)
    if decision:
        _gate_cases(root, decision)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def printable(text: str) -> str:
    """A text without what XML 1.0 cannot hold, since a server's message may hold anything."""
    return NOT_XML.sub("\ufffd", text)


def _gate_cases(root: ElementTree.Element, decision: GateDecision) -> None:
    verdicts = [check.verdict for check in decision.checks]
    attributes = {"name": "gate", "tests": str(len(verdicts)), "failures": str(verdicts.count("fail"))}
    attributes["skipped"] = str(verdicts.count("inconclusive"))
    node = ElementTree.SubElement(root, "testsuite", attributes)
    for check in decision.checks:
        name = f"{check.suite}.{check.measure} {check.rule} {to_plain(check.threshold)}"
        case = ElementTree.SubElement(node, "testcase", classname="gate", name=name)
        if check.verdict != "pass":
            kind = "failure" if check.verdict == "fail" else "skipped"
            ElementTree.SubElement(case, kind, message=check.reason)
