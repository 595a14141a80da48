"""Decide whether the release that was built may ship, against the live one. I/O: ledger, reports."""

from __future__ import annotations

from flyball.errors import NotFoundError
from flyball.evaluation.items import ItemScore, read_items
from flyball.evaluation.report_files import read_report, write_report
from flyball.monitoring.health import reports_on
from flyball.records import EvalReport, GateDecision, name_of
from flyball.rollout.gate import Baseline, decide
from flyball.storage.deployments import pointer
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.evaluating import reevaluate


def gate(project: Project, report: EvalReport, *, route: str, progress: Progress) -> GateDecision:
    """The decision on a report, kept in the ledger; the same question gets the same, stored answer."""
    baseline = baseline_for(project, report, route=route, progress=progress)
    decision = decide(
        project.settings.gate,
        project=project.name,
        release=report.release,
        report=report,
        report_name=name_of(report),
        items=items_of(project, name_of(report)),
        baseline=baseline,
    )
    if project.ledger.append(decision):
        write_verdict(project, name_of(report), decision)
    return decision


def write_verdict(project: Project, report_name: str, decision: GateDecision) -> None:
    """Put the decision into the kept report's pages (HTML, JSON, JUnit)."""
    folder = project.places.reports / report_name
    document = read_report(folder / "report.json")
    write_report(folder, document.report, document.details, decision=decision)


def baseline_for(project: Project, report: EvalReport, *, route: str, progress: Progress) -> Baseline | None:
    """What is live on the route, measured on the same suites; measured now where that was not done yet."""
    live = pointer(project.ledger, route)
    if live is None or live.live_release is None or live.live_release == report.release:
        return None
    name = comparable_report(project, live.live_release, report) or reevaluate(project, live.live_release, progress)
    found = project.ledger.get(name).record
    assert isinstance(found, EvalReport)
    return Baseline(release=live.live_release, report=found, report_name=name, items=items_of(project, name))


def comparable_report(project: Project, release: str, report: EvalReport) -> str | None:
    """The newest report on a release with the same suites, asked through the same prompt path."""
    wanted = conditions(report)
    for stored in reports_on(project.ledger, release):
        if isinstance(stored.record, EvalReport) and conditions(stored.record) == wanted:
            return stored.id
    return None


def conditions(report: EvalReport) -> tuple[int, frozenset[tuple[str, str]]]:
    """What two reports must share to be compared."""
    return report.prompt_path, frozenset((suite.name, suite.fingerprint) for suite in report.suites)


def items_of(project: Project, report_name: str) -> list[ItemScore]:
    """A report's per-item scores."""
    path = project.places.reports / report_name / "items.jsonl"
    if not path.is_file():
        raise NotFoundError(
            f"the scores of report {report_name[:12]} are not on this machine", cure="run `flyball evaluate`"
        )
    return read_items(path)
