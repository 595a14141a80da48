"""A search as one HTML page with plots of its history and of what mattered: no script, nothing loaded."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from flyball.evaluation.reports.charts import CONFIG, INK, SOFT
from flyball.evaluation.reports.html import SECTIONS, Section, figure, page
from flyball.evaluation.reports.plots import svgs
from flyball.workflows.search import Search, shown_values, suite_measure

PAGE = page(
    "Search {{ found.name }}",
    """<h1>Search {{ found.name }}</h1>
<p>Ranked by <code>{{ ranked_by }}</code> ({{ found.direction }}). The gate decides on other rows: the best of many is
lucky on those that it was chosen by.</p>
{% if diff %}
<h2>The best recipe</h2>
<pre>{{ diff }}</pre>
{% endif %}
"""
    + SECTIONS,
)


def search_page(found: Search, diff: str) -> str:
    """The page; plots are in it where the renderer is installed."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    charts = {name: Markup(svg) for name, svg in svgs(charts_of(found)).items()}  # our own renderer's output
    sections = [
        Section(
            title="History",
            caption="Each dot is a trial, the line the best so far.",
            chart=charts.get("history"),
        ),
        Section(
            title="What mattered",
            caption="The share of the differences between finished trials that each field explains (fANOVA).",
            chart=charts.get("importances"),
            heads=("Field", "Share"),
            rows=tuple(found.importances.items()),
        ),
        Section(
            title="Trials",
            caption="Intervals of 95% over the cases of the suite.",
            heads=("Trial", "Recipe", "State", "Value", "Lower", "Upper", "Seconds", "Note"),
            rows=tuple(
                (
                    trial.number,
                    shown_values(trial.values) or "flyball.yaml as it was",
                    trial.state,
                    trial.value,
                    trial.lower,
                    trial.upper,
                    trial.seconds,
                    trial.note,
                )
                for trial in found.trials
            ),
        ),
    ]
    return environment.from_string(PAGE).render(
        found=found, ranked_by=suite_measure(found), diff=diff, sections=sections, verdicts=()
    )


def charts_of(found: Search) -> dict[str, dict[str, Any]]:
    """The specifications by name; a chart without data is left out."""
    done = [trial for trial in found.trials if trial.value is not None]
    better = max if found.direction == "maximize" else min
    best, points = None, []
    for trial in done:
        assert trial.value is not None
        best = trial.value if best is None else better(best, trial.value)
        points.append({"trial": trial.number, "value": trial.value, "best": best})
    charts: dict[str, dict[str, Any]] = {}
    if points:
        x = {"field": "trial", "type": "quantitative", "title": "trial", "axis": {"tickMinStep": 1}}
        y = {"type": "quantitative", "title": found.measure, "scale": {"zero": False}}
        charts["history"] = {
            "config": CONFIG,
            "width": 460,
            "height": 220,
            "data": {"values": points},
            "encoding": {"x": x},
            "layer": [
                {
                    "mark": {"type": "line", "interpolate": "step-after", "color": SOFT, "strokeWidth": 3},
                    "encoding": {"y": {**y, "field": "best"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "color": INK, "size": 60, "opacity": 1},
                    "encoding": {"y": {**y, "field": "value"}},
                },
            ],
        }
    if found.importances:
        bars = [{"field": field, "share": share} for field, share in found.importances.items()]
        charts["importances"] = {
            "config": CONFIG,
            "width": 460,
            "height": {"step": 24},
            "data": {"values": bars},
            "mark": {"type": "bar", "color": INK},
            "encoding": {
                "y": {"field": "field", "type": "nominal", "sort": None, "title": None},
                "x": {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1]}, "title": None},
            },
        }
    return charts
