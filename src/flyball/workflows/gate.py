"""Decide whether the release that was built may ship, against the live one. I/O: ledger, reports."""

from __future__ import annotations

from collections.abc import Callable, Set

from flyball.errors import GateInconclusive, NotFoundError
from flyball.evaluation.item_scores import ItemScore, read_items
from flyball.evaluation.reports.files import read_report, write_report
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.monitoring.health import reports_on
from flyball.records import JSON, EvalReport, GateDecision, name_of
from flyball.records.identity import short
from flyball.rollout.gate import LIVE_RULES, Baseline, decide, verify
from flyball.rollout.gate_rules import comparison
from flyball.rollout.gate_scores import evidence
from flyball.storage.deployments import pointer
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.evaluate import reevaluate
from flyball.workflows.tracked_evaluation import track_verdict

Say = Callable[[str], None]
MOST_DECISIONS = 100_000


def gate(
    project: Project, report: EvalReport, *, route: str, progress: Progress, say: Say = lambda _line: None
) -> GateDecision:
    """The decision on a report, kept in the ledger; the same question gets the same, stored answer.

    Where the live release was not measured as the report was (the prompt path's version rose, or the suites changed),
    it is measured again first; and so is the candidate, where its own report is older than that.
    """
    baseline = baseline_for(project, report, route=route, progress=progress, say=say)
    free = uncompared(project, report)
    if baseline is not None and conditions(baseline.report, free) != conditions(report, free):
        if report.elsewhere:
            raise GateInconclusive(
                f"release {short(report.release)} must be measured again, with its scores made elsewhere",
                cure=f"flyball evaluate {short(report.release)}",
            )
        report = like(project, report.release, baseline.report, what="the candidate", progress=progress, say=say)
    decision = decide(
        project.settings.gate,
        project=project.name,
        release=report.release,
        report=report,
        report_name=name_of(report),
        items=items_of(project, name_of(report)),
        baseline=baseline,
        looks=looks_of(project, report),
    )
    if project.ledger.append(decision):
        write_verdict(project, name_of(report), decision)
        track_verdict(project, decision)
    return decision


def verify_decisions(project: Project, report: str) -> dict[str, JSON]:
    """Every decision on a report, recomputed from stored scores; CorruptionError names what does not follow."""
    stored = project.ledger.get(report)
    if not isinstance(stored.record, EvalReport):
        raise NotFoundError(
            f"{report} is no report", cure="give the report of a gate decision: `flyball models --json`"
        )
    items = items_of(project, stored.id)
    verdicts = []
    for found in project.ledger.find(GateDecision, limit=MOST_DECISIONS, newest_first=False):
        decision = found.record
        if not isinstance(decision, GateDecision) or decision.report != stored.id:
            continue
        verify(decision, stored.record, items, baseline=baseline_in(project, decision))
        verdicts.append(decision.verdict)
    evidence(stored.record, items)
    return {"report": stored.id, "scores": "as the report says", "decisions": len(verdicts), "verdicts": verdicts}


def baseline_in(project: Project, decision: GateDecision) -> Baseline | None:
    """What a decision compared with, from the ledger and the kept scores."""
    if decision.baseline_report is None or decision.baseline_release is None:
        return None
    record = project.ledger.get(decision.baseline_report).record
    assert isinstance(record, EvalReport)
    items = items_of(project, decision.baseline_report)
    return Baseline(release=decision.baseline_release, report=record, report_name=decision.baseline_report, items=items)


def looks_of(project: Project, report: EvalReport) -> dict[str, int]:
    """By suite of a report, which release in turn it is that is judged on this very suite, whatever came of it.

    A suite that many candidates were judged on is passed by chance in the end; so each later one gets less of alpha.
    A release that is measured again is no further candidate: it keeps its number.
    """
    judged: dict[str, list[str]] = {}
    for stored in project.ledger.find(GateDecision, limit=MOST_DECISIONS, newest_first=False):
        assert isinstance(stored.record, GateDecision)
        earlier = project.ledger.get(stored.record.report).record
        for suite in earlier.suites if isinstance(earlier, EvalReport) else ():
            releases = judged.setdefault(suite.fingerprint, [])
            if stored.record.release not in releases:
                releases.append(stored.record.release)
    looks = {}
    for suite in report.suites:
        releases = judged.get(suite.fingerprint, [])
        known = report.release in releases
        looks[suite.name] = releases.index(report.release) + 1 if known else len(releases) + 1
    return looks


def write_verdict(project: Project, report_name: str, decision: GateDecision) -> None:
    """Put the decision into the kept report's pages (HTML, JSON, JUnit)."""
    folder = project.places.reports / report_name
    document = read_report(folder / "report.json")
    write_report(folder, document.report, document.details, decision=decision)


def baseline_for(project: Project, report: EvalReport, *, route: str, progress: Progress, say: Say) -> Baseline | None:
    """What is live on the route, measured on the same suites; measured now where that was not done yet."""
    live = pointer(project.ledger, route)
    if live is None or live.live_release is None or live.live_release == report.release:
        return None
    if uncompared(project, report) >= {suite.name for suite in report.suites}:
        return None  # no rule compares anything with it
    found = like(project, live.live_release, report, what="the live release", progress=progress, say=say)
    name = name_of(found)
    return Baseline(release=live.live_release, report=found, report_name=name, items=items_of(project, name))


def like(project: Project, release: str, wanted: EvalReport, *, what: str, progress: Progress, say: Say) -> EvalReport:
    """A report on `release` that compares with another, or its newest: it is measured now where there is none."""
    name = comparable_report(project, release, wanted)
    if name is None:
        check_measurable(project, release, wanted)
        say(f"{what} {short(release)} {why_again(project, release, wanted)}: measuring it now, through its engine")
        name = reevaluate(project, release, progress)
    found = project.ledger.get(name).record
    assert isinstance(found, EvalReport)
    return found


def uncompared(project: Project, report: EvalReport) -> frozenset[str]:
    """The suites scored elsewhere that no rule compares with live: two reports compare without them."""
    compared = {rule.suite for rule in project.settings.gate.rules if comparison(rule)[0] in LIVE_RULES}
    return frozenset(one.suite for one in report.elsewhere or ()) - compared


def check_measurable(project: Project, release: str, wanted: EvalReport) -> None:
    """GateInconclusive where a release lacks scores made elsewhere: nothing here can make them again."""
    free = uncompared(project, wanted)
    lacking = [one for one in wanted.elsewhere or () if one.suite not in free]
    if lacking:
        named = ", ".join(f"{one.suite} ({one.file})" for one in lacking)
        raise GateInconclusive(
            f"the live release {short(release)} has no scores of the same cases for {named}, which are made elsewhere",
            cure=f"put its scores into that file, run `flyball evaluate {short(release)}`, put back the candidate's, "
            "run `flyball evaluate` on it, then the gate",
        )


def why_again(project: Project, release: str, wanted: EvalReport) -> str:
    """Why no report on a release compares with another."""
    newest = next((one.record for one in reports_on(project.ledger, release)), None)
    if not isinstance(newest, EvalReport):
        return "was never measured here"
    if newest.prompt_path < PROMPT_PATH:
        return f"was measured through prompt path {newest.prompt_path}, which is {PROMPT_PATH} now"
    return "was measured on other suites"


def comparable_report(project: Project, release: str, report: EvalReport) -> str | None:
    """The newest report on a release with the same suites, asked through the same prompt path."""
    free = uncompared(project, report)
    wanted = conditions(report, free)
    for stored in reports_on(project.ledger, release):
        if isinstance(stored.record, EvalReport) and conditions(stored.record, free) == wanted:
            return stored.id
    return None


def conditions(report: EvalReport, free: Set[str]) -> tuple[int, frozenset[tuple[str, str]]]:
    """What two reports must share to be compared; `free`: suites that need not be in both."""
    found = ((suite.name, suite.fingerprint) for suite in report.suites if suite.name not in free)
    return report.prompt_path, frozenset(found)


def items_of(project: Project, report_name: str) -> list[ItemScore]:
    """A report's per-item scores."""
    path = project.places.reports / report_name / "items.jsonl"
    if not path.is_file():
        raise NotFoundError(
            f"the scores of report {report_name[:12]} are not on this machine", cure="run `flyball evaluate`"
        )
    return read_items(path)
