"""How good a release's answers are, with an interval, and what is open about it. I/O: reads the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.monitoring.observations import latest_grades
from flyball.records import EvalReport, Finding
from flyball.statistics.intervals import clopper_pearson
from flyball.storage.ledger import Ledger, Stored

GRADES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityEstimate:
    """Share of graded requests whose answer was good, with its two-sided interval; None when nothing was graded."""

    value: float | None
    lower: float
    upper: float
    n: int
    good: int
    level: float


def quality(ledger: Ledger, release: str, *, level: float = 0.95) -> QualityEstimate:
    """How good people found a release's answers: the latest grade of each graded request, Clopper–Pearson."""
    grades = latest_grades(ledger, release, limit=GRADES)
    good, n = sum(one.good for one in grades), len(grades)
    lower, upper = clopper_pearson(good, n, level)
    return QualityEstimate(value=good / n if n else None, lower=lower, upper=upper, n=n, good=good, level=level)


def evaluated_quality(
    ledger: Ledger, release: str, *, suite: str = "test", measure: str = "exact_match"
) -> float | None:
    """What an evaluation of a release measured, the newest that did; None when none did."""
    for stored in reports_on(ledger, release):
        assert isinstance(stored.record, EvalReport)
        for one in stored.record.measures:
            if (one.suite, one.name, one.slice) == (suite, measure, None):
                return one.value
    return None


def reports_on(ledger: Ledger, release: str) -> list[Stored]:
    """The evaluation reports on a release, newest first."""
    found = [ledger.get(edge.child) for edge in ledger.children(release) if edge.relation == "release"]
    reports = [stored for stored in found if isinstance(stored.record, EvalReport)]
    return sorted(reports, key=lambda one: one.seq, reverse=True)


def open_findings(ledger: Ledger, *, route: str, release: str, limit: int = 1000) -> list[Finding]:
    """Findings about a release while it is the live one, oldest first; another live release closes them."""
    records = [stored.record for stored in ledger.find(Finding, limit=limit)]
    findings = [one for one in records if isinstance(one, Finding) and (one.route, one.release) == (route, release)]
    return findings[::-1]
