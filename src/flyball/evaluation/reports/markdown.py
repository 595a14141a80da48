"""A report as Markdown for a pull request: verdict, checks, measures, worst slices; no texts of cases. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.slices import worst_slices
from flyball.records import EvalReport, GateDecision, Measure
from flyball.records.identity import short

WORST: Final = 5
MARKS: Final = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}


def report_markdown(report: EvalReport, details: Details, decision: GateDecision | None = None) -> str:
    """Markdown in GitHub's and GitLab's dialect."""
    head = f"## Evaluation of {escaped(report.project)} `{short(report.release)}`"
    parts = [f"{head}: {MARKS[decision.verdict]} {decision.verdict}" if decision else head]
    parts.append(f"{details.asked} requests, {details.answered} answered; {report.failures} cases without an answer.")
    for one in report.elsewhere or ():
        of = f", of {escaped(one.model)}" if one.model else ""
        parts.append(f"`{one.suite}`: made elsewhere (`{escaped(one.file)}`{of}, SHA-256 `{one.sha256[:12]}`).")
    if decision:
        parts += ["### Gate", table(("Check", "Rule", "Value", "Bound", "n", "Verdict"), checks(decision))]
    whole = [(m.suite, m.name, figure(m.value), interval(m), m.n) for m in report.measures if m.slice is None]
    level = report.measures[0].level if report.measures else 0.95
    parts += ["### Measures", table(("Suite", "Measure", "Value", f"{level:.0%} interval", "n"), whole)]
    if worst := list(worst_slices(report, WORST)):
        rows = [(m.suite, m.name, m.slice, figure(m.value), interval(m), m.n) for m in worst]
        parts += ["### Worst slices", table(("Suite", "Measure", "Slice", "Value", f"{level:.0%} interval", "n"), rows)]
    return "\n\n".join(parts) + "\n"


def checks(decision: GateDecision) -> Iterator[tuple[object, ...]]:
    """One row a rule: what was asked for, and the bound that decided."""
    for one in decision.checks:
        rule = f"{one.rule.replace('_', ' ')} {one.threshold:g}"
        needed = f" (needs about {one.needed_n:,} cases)" if one.needed_n and one.verdict == "inconclusive" else ""
        verdict = f"{MARKS[one.verdict]} {one.verdict}{needed}"
        yield f"{one.suite}.{one.measure}", rule, figure(one.value), figure(one.bound), one.n, verdict


def interval(measure: Measure) -> str:
    """Both ends of an interval."""
    return f"{figure(measure.lower)} to {figure(measure.upper)}"


def figure(value: float | None) -> str:
    """A number of three decimals, or none where it is large."""
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells hold what they hold, whatever characters that are."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(escaped(str(cell)) for cell in line) + " |" for line in lines)


def escaped(text: str) -> str:
    """A text on one line without anything that Markdown or HTML would take for its own."""
    line = " ".join(text.replace("\\", "\\\\").split())
    for mark in "|<>`*_[]@":  # an @ would call somebody
        line = line.replace(mark, f"&#{ord(mark)};" if mark in "<>@|" else f"\\{mark}")
    return line
