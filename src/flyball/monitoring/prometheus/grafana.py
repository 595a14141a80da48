"""Grafana dashboards as JSON: rows of panels, each a title, a unit and expressions. Pure.

The classic dashboard schema (version 39, Grafana 10 and later) as plain data; every panel takes its data from the
variable `datasource`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 39
WIDTH = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its expressions by legend; `limits` are the values from which it turns yellow, then red."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    width: int = 8
    limits: tuple[float, float] | None = None
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page: its name, title and panels; `variables` are label names that a reader chooses values of, by metric."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    variables: dict[str, str] = field(default_factory=dict)


def dashboard_json(dashboard: Dashboard, *, console: str) -> dict[str, Any]:
    """As Grafana imports it; `console` is the address of Flyball's own pages, which each page links to."""
    return {
        "uid": f"flyball-{dashboard.name}",
        "title": f"Flyball / {dashboard.title}",
        "tags": ["flyball"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {"title": "Console", "type": "link", "url": console, "targetBlank": True},
            {"title": "Flyball", "type": "dashboards", "tags": ["flyball"], "asDropdown": True},
        ],
        "templating": {"list": [_source_variable(), *map(_variable, dashboard.variables.items())]},
        "panels": _placed(dashboard.panels),
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(named: tuple[str, str]) -> dict[str, Any]:
    label, metric = named
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": f"label_values({metric}, {label})", "refId": label},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + 8
        placed.append(_panel(panel, number) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": 8}})
        x += panel.width
    return placed


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    instant = panel.kind != "timeseries"
    targets = [
        {
            "refId": chr(ord("A") + place),
            "expr": expr,
            "legendFormat": legend,
            "datasource": _SOURCE,
            "instant": instant,
            "range": not instant,
            "format": "table" if panel.kind == "table" else "time_series",
        }
        for place, (legend, expr) in enumerate(panel.queries.items())
    ]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limits is not None:
        steps += [{"color": "yellow", "value": panel.limits[0]}, {"color": "red", "value": panel.limits[1]}]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, "min": 0},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if not instant else {},
    }
