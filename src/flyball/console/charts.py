"""Charts as Vega-Lite specifications, and their SVG. I/O: starts a child process per new chart, which exits.

A chart is a picture of values that its page also shows as a table, so a missing renderer loses nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import msgspec

from flyball.errors import EnvironmentMissing
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
        "strong": "#1b2129",
    },
    "dark": {
        "ink": "#9aa5b4",
        "grid": "#262d37",
        "main": "#6aa7e8",
        "second": "#d9ac5b",
        "bad": "#ff7a6e",
        "strong": "#e4e8ee",
    },
}
TIMEOUT_S = 20.0
KEPT = 48


def traffic_spec(points: Sequence[Mapping[str, JSON]], theme: Theme) -> Spec:
    """Requests per minute as bars, those that failed on top. `points`: minute (negative to 0), answered, failed."""
    ink = PALETTES[theme]
    rows = [
        {"minute": p["minute"] + 0.5, "outcome": outcome, "n": p[outcome], "layer": layer}
        for p in points
        for layer, outcome in enumerate(("answered", "failed"))
    ]
    colour = {"domain": ["answered", "failed"], "range": [ink["main"], ink["bad"]]}
    encoding = {
        "x": _minutes(points),
        "y": {"field": "n", "type": "quantitative", "title": None, "axis": {"tickCount": 3, "tickMinStep": 1}},
        "color": {"field": "outcome", "type": "nominal", "scale": colour, "legend": _legend()},
        "order": {"field": "layer"},
    }
    return _chart({"mark": {"type": "bar", "width": 6, "cornerRadiusEnd": 1}, "encoding": encoding}, rows, theme)


def latency_spec(points: Sequence[Mapping[str, JSON]], theme: Theme) -> Spec:
    """Median and 99th percentile of the whole answer per minute. `points`: minute, p50, p99 in milliseconds or None."""
    ink = PALETTES[theme]
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
            "axis": {
                "tickCount": 3,
                "labelExpr": "datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.label + ' ms'",
            },
        },
        "color": {"field": "quantile", "type": "nominal", "scale": colour, "legend": _legend()},
    }
    mark = {"type": "line", "strokeWidth": 1.75, "point": {"size": 12, "filled": True}}
    return _chart({"mark": mark, "encoding": encoding}, rows, theme)


def quality_spec(points: Sequence[Mapping[str, JSON]], theme: Theme) -> Spec:
    """Quality of each release with its interval. `points`: release, kind, value, lower, upper as shares of one."""
    ink = PALETTES[theme]
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
    return _chart(layers, list(points), theme, height={"step": 17})


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


def _chart(body: Spec, rows: list[Any], theme: Theme, *, height: object = 120) -> Spec:
    ink = PALETTES[theme]
    font = "system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"
    axis = {"labelColor": ink["ink"], "gridColor": ink["grid"], "domain": False, "ticks": False, "labelPadding": 6}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None,
        "width": 500,
        "height": height,
        "padding": 2,
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


def can_render() -> bool:
    """Whether the renderer is installed (it is looked for, not loaded)."""
    return find_spec("vl_convert") is not None


async def render(spec: Spec, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """`spec` as SVG, made by a child process that is gone when this returns; EnvironmentMissing when it cannot."""
    if not can_render():
        raise EnvironmentMissing("charts need vl-convert", cure='pip install "flyball[console]"')
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flyball.console.chart_worker", stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(msgspec.json.encode(spec)), timeout_s)
    except (TimeoutError, asyncio.CancelledError) as error:
        child.kill()
        await child.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise EnvironmentMissing(f"the chart took over {timeout_s:g} s", cure="see the table beside it") from error
    if child.returncode != 0 or not out.lstrip().startswith(b"<svg"):
        reason = err.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise EnvironmentMissing(f"the chart could not be drawn: {reason[0]}", cure="see the table beside it")
    return out


@dataclass(slots=True)
class ChartStore:
    """The last charts by the hash of their specification; one is drawn at a time, so that a page costs one core."""

    kept: int = KEPT
    timeout_s: float = TIMEOUT_S
    _charts: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _drawing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def svg(self, spec: Spec) -> bytes:
        """The chart of `spec`, drawn now or before."""
        name = hashlib.sha256(msgspec.json.encode(spec)).hexdigest()
        async with self._drawing:
            if name not in self._charts:
                self._charts[name] = await render(spec, timeout_s=self.timeout_s)
                while len(self._charts) > self.kept:
                    self._charts.popitem(last=False)
            self._charts.move_to_end(name)
            return self._charts[name]
