"""The charts of a report as Vega-Lite specifications: measures with intervals, labels, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.evaluation.measures.summaries import ERRORS
from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.reliability import coverage_values, reliability_values
from flyball.evaluation.reports.slices import GROUPED
from flyball.records import EvalReport, Measure

INK, SOFT = "#2f6f8f", "#9db8c6"
MOST_BARS = 40
CONFIG: dict[str, Any] = {
    "background": None,
    "padding": {
        "left": 48,
        "top": 5,
        "right": 12,
        "bottom": 5,
    },  # browsers draw wider letters than vl-convert
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#777",
        "titleColor": "#777",
        "gridColor": "#8883",
        "domainColor": "#8886",
        "labelLimit": 420,
    },
}


def charts_of(report: EvalReport, details: Details) -> dict[str, dict[str, Any]]:
    """The specifications that a report can show, by name; a chart without data is left out."""
    shares = [
        m
        for m in report.measures
        if m.slice is None and -1 <= m.lower <= m.upper <= 1 and m.name not in (ERRORS, *GROUPED)
    ]
    charts = {"measures": intervals([(f"{m.suite} · {m.name}", m) for m in shares])} if shares else {}
    edits = [(str(m.slice), m) for m in report.measures if m.name == "invariance" and m.slice]
    if edits:
        charts["edits"] = intervals(edits)
    worst = sorted((m for m in report.measures if m.name == "recall"), key=lambda m: m.value)[:MOST_BARS]
    if worst:
        several = len({m.suite for m in worst}) > 1
        charts["recall"] = intervals([(f"{m.suite} · {m.slice}" if several else str(m.slice), m) for m in worst])
    if details.latencies_ms:
        charts["latency"] = histogram(details.latencies_ms)
    if points := reliability_values(details.calibration):
        charts["reliability"] = diagonal(points)
        charts["coverage"] = curve(coverage_values(details.calibration))
    return charts


def intervals(rows: Sequence[tuple[str, Measure]]) -> dict[str, Any]:
    """A point with its interval for each row, on the scale from 0 (from -1 where a value may be negative) to 1."""
    values = [{"name": name, "value": m.value, "lower": m.lower, "upper": m.upper} for name, m in rows]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    scale = {"domain": [-1 if any(m.lower < 0 for _, m in rows) else 0, 1]}
    return {
        "config": CONFIG,
        "width": 460,
        "height": {"step": 20},
        "data": {"values": values},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "color": SOFT, "strokeWidth": 4},
                "encoding": {
                    "x": {"field": "lower", "type": "quantitative", "scale": scale, "title": None},
                    "x2": {"field": "upper"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "color": INK, "size": 60, "opacity": 1},
                "encoding": {"x": {"field": "value", "type": "quantitative", "scale": scale}},
            },
        ],
    }


def histogram(latencies_ms: Sequence[float]) -> dict[str, Any]:
    """How long answers took."""
    return {
        "config": CONFIG,
        "width": 460,
        "height": 140,
        "data": {"values": [{"ms": value} for value in latencies_ms]},
        "mark": {"type": "bar", "color": INK},
        "encoding": {
            "x": {"field": "ms", "type": "quantitative", "bin": {"maxbins": 40}, "title": "milliseconds"},
            "y": {"aggregate": "count", "type": "quantitative", "title": "answers"},
        },
    }


def diagonal(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy with its interval by confidence, beside the diagonal."""
    x, y, color = _axis("confidence"), _axis("accuracy"), {"field": "suite", "type": "nominal", "title": None}
    ends = [{"confidence": end, "accuracy": end} for end in (0, 1)]
    dashed = {"type": "line", "color": SOFT, "strokeDash": [4, 4]}
    mark = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    y_lower = {**_axis("lower"), "title": "accuracy"}
    return {
        "config": CONFIG,
        "width": 320,
        "height": 320,
        "layer": [
            {"data": {"values": ends}, "mark": dashed, "encoding": {"x": x, "y": y}},
            {
                "data": {"values": list(points)},
                "encoding": {"x": x, "color": color},
                "layer": [
                    {
                        "mark": {"type": "rule", "strokeWidth": 2},
                        "encoding": {"y": y_lower, "y2": {"field": "upper"}},
                    },
                    {"mark": mark, "encoding": {"y": y}},
                ],
            },
        ],
    }


def curve(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy by the share of cases that are answered."""
    color = {"field": "suite", "type": "nominal", "title": None}
    return {
        "config": CONFIG,
        "width": 460,
        "height": 220,
        "data": {"values": list(points)},
        "mark": {"type": "line", "point": len(points) < MOST_BARS},
        "encoding": {"x": _axis("coverage"), "y": _axis("accuracy"), "color": color},
    }


def _axis(field: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": field, "scale": {"domain": [0, 1]}}
