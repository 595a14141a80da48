"""The report as one HTML page: no script, nothing loaded, readable in ten years."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from flyball.evaluation.reports.answer_costs import spending_rows
from flyball.evaluation.reports.capabilities import TYPES, capability_rows
from flyball.evaluation.reports.charts import charts_of
from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.plots import svgs
from flyball.evaluation.reports.reliability import reliability_rows, wanted_rows
from flyball.evaluation.reports.slices import GROUPED, gaps_between_groups, worst_slices
from flyball.records import Check, EvalReport, GateDecision, name_of
from flyball.records.identity import short

STYLE = """<style>
:root { color-scheme: light dark; --soft: #7777; --good: #2a7d46; --bad: #b3372f; --open: #9a6b00; }
@media (prefers-color-scheme: dark) { :root { --good: #63c384; --bad: #f0857c; --open: #e0b050; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } caption, figcaption { text-align: left; color: GrayText; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--soft); vertical-align: top; }
td { overflow-wrap: anywhere; } td:first-child { min-width: 9.5rem; }
code { font-size: .85em; overflow-wrap: anywhere; }
.n, td.pass, td.fail, td.inconclusive { white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.pass { color: var(--good); } .fail { color: var(--bad); } .inconclusive { color: var(--open); }
figure { margin: 1rem 0; overflow-x: auto; }
</style>
"""

SECTIONS = """{% for section in sections if section.rows or section.chart %}
<h2{% if section.verdict %} class="{{ section.verdict }}"{% endif %}>{{ section.title }}</h2>
{% if section.chart %}
<figure role="img" aria-label="{{ section.title }}: {{ section.caption }}">{{ section.chart }}</figure>
{% endif %}
{% if section.rows %}
<table>
{% if section.caption %}
<caption>{{ section.caption }}</caption>
{% endif %}
<thead><tr>
{% for head in section.heads %}
<th scope="col"{% if section.is_number(loop.index0) %} class="n"{% endif %}>{{ head }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in section.rows %}
<tr>
{% for cell in row %}
<td class="{{ 'n' if section.is_number(loop.index0) else cell if cell in verdicts else '' }}">{{ cell|figure }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% endfor %}
"""


def page(title: str, main: str, *, images: str = "; img-src data:") -> str:
    """The template of a page that runs no script and loads nothing; `title` and `main` are templates themselves."""
    return (
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'{images}">
<title>{title}</title>
"""
        + STYLE
        + f"""</head>
<body>
<main>
{main}</main>
</body>
</html>
"""
    )


PAGE = page(
    "Evaluation of {{ report.project }} {{ release }}",
    """<h1>Evaluation of {{ report.project }}</h1>
<p>Release <code>{{ report.release }}</code>, report <code>{{ name }}</code>, engine {{ report.engine }},
prompt path {{ report.prompt_path }}{% if report.dataset %}, dataset <code>{{ report.dataset }}</code>{% endif %}.</p>
<p>{{ details.asked }} requests, {{ details.answered }} answered,
{% if report.failures %}<strong>{{ report.failures }} cases without an answer</strong> (errors: they count as wrong,
and are told apart below),{% endif %}

{{ details.cut }} answers cut at the token limit, {{ details.implausible_usage }} with token counts that cannot be true;
{{ details.prompt_tokens }} prompt and {{ details.completion_tokens }} completion tokens.</p>
{% if details.prepared %}
<p>Prepared as every request is, of {{ details.asked }}:
{% for step, count in details.prepared.items() %}{{ ", " if not loop.first }}{{ count }} by {{ step }}{% endfor %}.</p>
{% endif %}
{% if details.conditions %}
<p>Each request was sent with {{ conditions }}.</p>
{% endif %}
{% if details.notes %}
<p>Notes:</p>
<ul>
{% for note in details.notes %}
<li>{{ note }}.</li>
{% endfor %}
</ul>
{% endif %}
{% if details.errors %}
<p>Why cases have no answer:</p>
<ul>
{% for error, count in details.errors.items() %}
<li>{{ count }} × {{ error }}</li>
{% endfor %}
</ul>
{% endif %}
"""
    + SECTIONS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with a chart, a table, or both."""

    title: str
    caption: str = ""
    chart: Markup | None = None
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    verdict: str | None = None

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers; in some rows it may hold none."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def figure(value: object) -> object:
    """A number as people read it; a text as it is."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"
    return value


def why(check: Check) -> str:
    """What decided, and how many cases would."""
    needed = check.needed_n if check.verdict == "inconclusive" else None
    return f"{check.reason}; about {needed:,} cases are needed" if needed else check.reason


def gate_section(decision: GateDecision) -> Section:
    """The rules of the gate and the bounds that decided."""
    rows = (
        (
            f"{c.suite}.{c.measure}",
            f"{c.rule.replace('_', ' ')} {c.threshold}",
            c.value,
            c.bound,
            c.n,
            c.verdict,
            c.reason
            + (f"; about {c.needed_n:,} cases are needed" if c.needed_n and c.verdict == "inconclusive" else ""),
        )
        for c in decision.checks
    )
    return Section(
        title=f"Gate: {decision.verdict}",
        caption=f"Every rule at error {decision.alpha}; the bound decides, not the value.",
        heads=("Measure", "Rule", "Value", "Bound", "n", "Verdict", "Why"),
        rows=tuple(rows),
        verdict=decision.verdict,
    )


def level_of(report: EvalReport) -> str:
    """The confidence level of the intervals."""
    return f"{report.measures[0].level:.0%}" if report.measures else "95%"


def sections_of(report: EvalReport, details: Details, charts: dict[str, Markup]) -> list[Section]:
    """The page below its head; a section without content is not shown."""
    whole = [m for m in report.measures if m.slice is None and m.name not in GROUPED]
    recalls = {(r.suite, r.label): r.recall for r in details.labels}
    return [
        Section(
            title="Cases",
            caption="Errors are cases without an answer: refused by the server, failed, or not asked since it was dead."
            " They count as wrong in every measure; the measure errors is their share. Cut: answers that ended at the"
            " limit of tokens, among right and wrong; where they are many, raise the limit before you judge.",
            heads=("Suite", "Right", "Wrong", "Refused", "Failed", "Not asked", "Cut"),
            rows=tuple((o.suite, o.right, o.wrong, o.refused, o.failed, o.not_asked, o.cut) for o in details.outcomes),
        ),
        Section(
            title="Cases that training has seen",
            caption="Each case counts once: equal to a training row, else a passage of 13 words in common, else near.",
            heads=("Suite", "Compared", "Equal", "Passage", "Near"),
            rows=tuple((o.suite, o.cases, o.equal, o.passage, o.near) for o in report.overlaps or ()),
        ),
        Section(
            title="Measures",
            caption=f"Intervals of {level_of(report)}, as if cases were independent (a gate allows for clusters): "
            "Clopper–Pearson for shares, order statistics for latency, a seeded percentile bootstrap over items for "
            "macro F1.",
            chart=charts.get("measures"),
            heads=("Suite", "Measure", "Value", "Lower", "Upper", "n"),
            rows=tuple((m.suite, m.name, m.value, m.lower, m.upper, m.n) for m in whole),
        ),
        Section(
            title="Worst slices",
            caption="Parts of five cases or more that are worse than their suite, at most eight a measure. Of many "
            "slices some are low by chance: look at the interval.",
            heads=("Suite", "Measure", "Slice", "Value", "Lower", "Upper", "n"),
            rows=tuple(
                (m.suite, m.name, m.slice, m.value, m.lower, m.upper, m.n)
                for m in worst_slices(report)
                if m.name not in ("recall", "invariance")
            ),
        ),
        Section(
            title="Differences between groups",
            caption="Of differences 0 is equal, of ratios 1; the largest between any two groups of 20 cases or more.",
            heads=("Suite", "Groups by", "Measure", "Value", "Lower", "Upper", "n"),
            rows=tuple((m.suite, m.slice, m.name, m.value, m.lower, m.upper, m.n) for m in gaps_between_groups(report)),
        ),
        Section(
            title="Invariance by kind of edit",
            caption="Share of answers that stayed the same.",
            chart=charts.get("edits"),
            heads=("Edit", "Same", "Lower", "Upper", "n"),
            rows=tuple(
                (m.slice, m.value, m.lower, m.upper, m.n) for m in report.measures if m.name == "invariance" and m.slice
            ),
        ),
        Section(
            title="Behaviour by capability and type of test",
            caption="Failure rates of minimum functionality (MFT), invariance (INV) and directional (DIR) tests.",
            heads=("Suite", "Capability", *TYPES),
            rows=capability_rows(report.measures),
        ),
        Section(
            title="Calibration",
            caption="Accuracy by the probability that the engine gave it; a confidence on the diagonal is right.",
            chart=charts.get("reliability"),
            heads=("Suite", "Confidence", "Accuracy", "Lower", "Upper", "n"),
            rows=reliability_rows(details.calibration),
        ),
        Section(
            title="Accuracy by coverage",
            caption="Answers below the threshold are left to a person. Chosen on these cases, so prove it on others.",
            chart=charts.get("coverage"),
            heads=("Suite", "Wanted", "Threshold", "Coverage", "Accuracy", "Lower", "Upper", "n"),
            rows=wanted_rows(details.calibration),
        ),
        Section(
            title="Tokens, time and cost",
            caption="Of all that was asked, shared by the answers and by the good ones; cases without an answer are"
            " not good. Time is that of a request, at the concurrency that was set.",
            heads=(
                *("Suite", "Good", "Cost", "An answer", "A good one", "Tokens an answer", "A good one"),
                *("ms an answer", "A good one", "Why not"),
            ),
            rows=spending_rows(details.spending),
        ),
        Section(title="Latency", caption="Answers by milliseconds.", chart=charts.get("latency")),
        Section(
            title="Labels",
            caption="Worst first; the chart shows recall with its interval.",
            chart=charts.get("recall"),
            heads=("Suite", "Label", "n", "Recall", "Precision", "F1"),
            rows=tuple((r.suite, r.label, r.n, r.recall, r.precision, r.f1) for r in details.labels),
        ),
        Section(
            title="Wrong answers of the worst labels",
            caption="Those with the lowest recall. Texts are redacted and cut.",
            heads=("Suite", "Label", "Recall", "Text", "Answered"),
            rows=tuple(
                (r.suite, r.label, recalls.get((r.suite, r.label)), r.text, r.answer) for r in details.label_examples
            ),
        ),
        Section(
            title="Confusions",
            caption="The commonest wrong answers.",
            heads=("Suite", "Expected", "Answered", "Times"),
            rows=tuple((r.suite, r.expected, r.answer or "(no known label)", r.count) for r in details.confusions),
        ),
        Section(
            title="Examples that failed",
            caption="Texts are redacted and cut.",
            heads=("Suite", "Text", "Expected", "Answered"),
            rows=tuple((r.suite, r.text, r.expected, r.error or r.answer) for r in details.examples),
        ),
    ]


def render(report: EvalReport, details: Details, decision: GateDecision | None = None) -> str:
    """The page; charts are in it where the renderer is installed."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    charts = {name: Markup(svg) for name, svg in svgs(charts_of(report, details)).items()}  # our own renderer's output
    sections = sections_of(report, details, charts)
    return environment.from_string(PAGE).render(
        report=report,
        details=details,
        name=name_of(report),
        conditions=", ".join(f"{name} {value}" for name, value in details.conditions.items()),
        release=short(report.release),
        sections=[gate_section(decision), *sections] if decision else sections,
        verdicts=("pass", "fail", "inconclusive"),
    )
