"""Variants of a model as one HTML page: a table, and quality against what they take. No script, nothing loaded."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from flyball.evaluation.reports.charts import CONFIG, INK, SOFT
from flyball.evaluation.reports.html import SECTIONS, Section, figure, page
from flyball.evaluation.reports.plots import svgs
from flyball.workflows.optimise import Comparison

TAKES = {"latency": "median latency, ms", "cost": "seconds per good answer", "size": "size on disk, bytes"}
HEADS = (
    *("Variant", "Quality", "Lower", "Upper", "Cases", "Median ms", "Answers/s"),
    *("Memory MB", "Size MB", "USD per 1,000 good", "Best of its kind", "Release"),
)
PAGE = page(
    "Variants by {{ found.target }}",
    """<h1>Variants by {{ found.target }}</h1>
<p>Quality is <code>{{ found.suite }}.{{ found.measure }}</code>; times and memory are of this machine.
Nothing is released: the gate decides on other rows.</p>
<pre>{{ commands }}</pre>
"""
    + SECTIONS,
)


def optimise_page(found: Comparison) -> str:
    """The page; the plot is in it where the renderer is installed."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    charts = {name: Markup(svg) for name, svg in svgs({"front": chart(found)}).items()}  # our own renderer's output
    sections = [
        Section(
            title="Quality and what it takes",
            caption="Dark: no other variant is as good in both. Bars are intervals of 95% over the same cases.",
            chart=charts.get("front"),
            heads=HEADS,
            rows=tuple(rows(found)),
        ),
        Section(
            title="Left out",
            caption="Variants that could not be had.",
            heads=("Variant", "Why"),
            rows=tuple(found.left_out.items()),
        ),
    ]
    return environment.from_string(PAGE).render(
        found=found, sections=sections, verdicts=(), commands="\n".join(commands(found))
    )


def rows(found: Comparison) -> list[tuple[Any, ...]]:
    """The table, a row for each variant."""
    return [
        (
            *(one.name, one.quality, one.lower, one.upper, one.n, one.latency_ms, one.answers_per_s),
            *(one.memory_mb, one.size_bytes / 1e6, found.usd_per_1000_good(one)),
            *("yes" if one.name in found.front else "no", one.release[:12]),
        )
        for one in found.variants
    ]


def commands(found: Comparison) -> tuple[str, ...]:
    """What gates and deploys the suggested variant; nothing where that is the model as it is."""
    if found.suggested is found.variants[0]:
        return ()
    return tuple(f"flyball {verb} {found.suggested.release[:12]}" for verb in ("evaluate", "gate", "deploy"))


def chart(found: Comparison) -> dict[str, Any]:
    """Vega-Lite: quality with its interval against the target."""
    points = [
        {
            "variant": one.name,
            "takes": one.takes(found.target),
            "quality": one.quality,
            "lower": one.lower,
            "upper": one.upper,
            "colour": INK if one.name in found.front else SOFT,
        }
        for one in found.variants
        if one.takes(found.target) != float("inf")
    ]
    x = {"field": "takes", "type": "quantitative", "title": TAKES[found.target]}
    y = {"type": "quantitative", "title": found.measure, "scale": {"zero": False}}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    return {
        "config": CONFIG,
        "width": 460,
        "height": 240,
        "data": {"values": points},
        "encoding": {"x": x, "color": colour},
        "layer": [
            {"mark": {"type": "rule"}, "encoding": {"y": {**y, "field": "lower"}, "y2": {"field": "upper"}}},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"y": {**y, "field": "quality"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 7, "dy": -6},
                "encoding": {"y": {**y, "field": "quality"}, "text": {"field": "variant"}},
            },
        ],
    }
