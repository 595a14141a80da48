"""What is charted, as Vega-Lite specifications in the colours of one scheme and the width of one screen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flyball.records import JSON

Theme = Literal["light", "dark"]
Spec = dict[str, Any]

PALETTES: Mapping[Theme, Mapping[str, str]] = {
    "light": {
        "ink": "#5b6472",
        "grid": "#e7eaef",
        "main": "#2f6fb5",
        "second": "#b0802b",
        "bad": "#c4382e",
    },
    "dark": {
        "ink": "#9aa5b4",
        "grid": "#262d37",
        "main": "#6aa7e8",
        "second": "#d9ac5b",
        "bad": "#ff7a6e",
    },
}

SERIES: Mapping[Theme, tuple[str, ...]] = {
    "light": ("#2f6fb5", "#b0802b", "#2a8a6d", "#c4382e", "#7a55b8", "#5b6472"),
    "dark": ("#6aa7e8", "#d9ac5b", "#58c2a0", "#ff7a6e", "#b79bec", "#9aa5b4"),
}
"""Colours of things of one kind, in the order they come; dashes tell them apart too."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (3, 5))

OUTCOMES = ("answered", "refused", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartStyle:
    """How a chart is drawn: its colours, and its width in pixels."""

    theme: Theme
    width: int

    @property
    def ink(self) -> Mapping[str, str]:
        """The colours."""
        return PALETTES[self.theme]


def traffic_spec(points: Sequence[Mapping[str, JSON]], look: ChartStyle) -> Spec:
    """Requests per minute as bars, by how they ended. `points`: minute (negative to 0), answered, refused, failed."""
    ink = look.ink
    rows = [
        {"minute": p["minute"] + 0.5, "outcome": outcome, "n": p[outcome], "layer": layer}
        for p in points
        for layer, outcome in enumerate(OUTCOMES)
    ]
    colour = {"domain": list(OUTCOMES), "range": [ink["main"], ink["second"], ink["bad"]]}
    encoding = {
        "x": _minutes(points),
        "y": {
            "field": "n",
            "type": "quantitative",
            "title": None,
            "axis": {"tickCount": 3, "tickMinStep": 1},
            "scale": _from_zero(max((sum(p[o] for o in OUTCOMES) for p in points), default=0), least=10),
        },
        "color": {"field": "outcome", "type": "nominal", "scale": colour, "legend": _legend()},
        "order": {"field": "layer"},
    }
    return _chart(
        {"mark": {"type": "bar", "width": round(look.width / len(points) * 0.66, 1)}, "encoding": encoding}, rows, look
    )


def latency_spec(points: Sequence[Mapping[str, JSON]], look: ChartStyle) -> Spec:
    """Median and 99th percentile of the whole answer per minute. `points`: minute, p50, p99 in milliseconds or None."""
    ink = look.ink
    rows = [
        {"minute": p["minute"] + 0.5, "quantile": quantile, "ms": p[quantile]}
        for p in points
        for quantile in ("p50", "p99")
        if p[quantile] is not None
    ]
    colour = {"domain": ["p50", "p99"], "range": [ink["main"], ink["second"]]}
    encoding = {
        "x": _minutes(points),
        "y": {
            "field": "ms",
            "type": "quantitative",
            "title": None,
            "scale": _from_zero(max((row["ms"] for row in rows), default=0), least=20),
            "axis": {
                "tickCount": 3,
                "labelExpr": "datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.label + ' ms'",
            },
        },
        "color": {"field": "quantile", "type": "nominal", "scale": colour, "legend": _legend()},
    }
    mark = {"type": "line", "strokeWidth": 1.75, "point": {"size": 12, "filled": True}}
    return _chart({"mark": mark, "encoding": encoding}, rows, look)


def curve_spec(points: Sequence[Mapping[str, JSON]], look: ChartStyle) -> Spec:
    """The loss of a training run by step. `points`: step, loss."""
    encoding = {
        "x": {"field": "step", "type": "quantitative", "title": None, "axis": {"grid": False, "tickCount": 5}},
        "y": {"field": "loss", "type": "quantitative", "title": None, "axis": {"tickCount": 4}},
    }
    mark = {"type": "line", "strokeWidth": 1.75, "color": look.ink["main"]}
    return _chart({"mark": mark, "encoding": encoding}, list(points), look)


def curves_spec(points: Sequence[Mapping[str, JSON]], look: ChartStyle) -> Spec:
    """The loss of several training runs by step. `points`: run, step, loss."""
    names = list(dict.fromkeys(str(p["run"]) for p in points))
    legend = {**_legend(), "columns": 2 if look.width < 600 else len(names), "columnPadding": 18, "labelLimit": 150}
    encoding = {
        "x": {"field": "step", "type": "quantitative", "title": None, "axis": {"grid": False, "tickCount": 5}},
        "y": {"field": "loss", "type": "quantitative", "title": None, "axis": {"tickCount": 5}},
        "color": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": names, "range": list(SERIES[look.theme][: len(names)])},
            "legend": legend,
        },
        "strokeDash": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": names, "range": [list(dash) for dash in DASHES[: len(names)]]},
            "legend": legend,
        },
    }
    return _chart({"mark": {"type": "line", "strokeWidth": 1.75}, "encoding": encoding}, list(points), look, height=240)


def quality_spec(points: Sequence[Mapping[str, JSON]], look: ChartStyle) -> Spec:
    """Quality of each release with its interval. `points`: release, kind, value, lower, upper as shares of one."""
    ink = look.ink
    colour = {"domain": ["evaluated", "in production"], "range": [ink["second"], ink["main"]]}
    order = list(dict.fromkeys(str(p["release"]) for p in points))
    shared = {
        "y": {"field": "release", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 150}},
        "yOffset": {"field": "kind", "type": "nominal", "sort": colour["domain"]},
        "color": {"field": "kind", "type": "nominal", "scale": colour, "legend": _legend()},
    }
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True},
        "axis": {"format": ".0%", "tickCount": 5},
    }
    layers = {
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"x": {"field": "lower", **x}, "x2": {"field": "upper"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
                "encoding": {"x": {"field": "value", **x}},
            },
        ],
        "encoding": shared,
    }
    return _chart(layers, list(points), look, height={"step": 15})


def _from_zero(largest: float, *, least: float) -> Spec:
    """A scale that begins at zero and has some height even when nothing happened."""
    return {"domain": [0, max(largest, least)], "nice": True}


def _minutes(points: Sequence[Mapping[str, JSON]]) -> Spec:
    label = "datum.value == 0 ? 'now' : format(-datum.value, 'd') + ' min'"
    return {
        "field": "minute",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [-len(points), 0], "nice": False},
        "axis": {"values": [-60, -45, -30, -15, 0], "grid": False, "labelExpr": label, "labelFlush": 24},
    }


def _legend() -> Spec:
    return {"title": None, "orient": "top", "direction": "horizontal", "symbolSize": 60, "offset": 4, "padding": 0}


def _chart(body: Spec, rows: list[Any], look: ChartStyle, *, height: object = 120) -> Spec:
    ink = look.ink
    font = "Inter, -apple-system, 'Segoe UI', 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
    axis = {"labelColor": ink["ink"], "gridColor": ink["grid"], "domain": False, "ticks": False, "labelPadding": 6}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None,
        "width": look.width,
        "height": height,
        "padding": {"left": 4, "right": 4, "top": 2, "bottom": 2},
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": rows},
        **body,
        "config": {
            "font": font,
            "axis": {**axis, "labelFontSize": 11, "labelFont": font},
            "legend": {"labelColor": ink["ink"], "labelFontSize": 11, "labelFont": font, "symbolType": "circle"},
            "view": {"stroke": None},
        },
    }
