"""Charts are drawn by a child that exits, once each, and a page lives without them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from console_site import Site
from flyball.console import charts
from flyball.console.chart_specs import ChartStyle, latency_spec, quality_spec, traffic_spec
from flyball.console.traffic import MINUTES, Minute, Traffic
from flyball.errors import EnvironmentMissing
from flyball.records import fingerprint

LOOK = ChartStyle(theme="light", width=640)
drawable = pytest.mark.skipif(importlib.util.find_spec("vl_convert") is None, reason="vl-convert is not installed")


def hour() -> list[dict[str, Any]]:
    """An hour of traffic with one quiet minute."""
    minutes = tuple(
        Minute(
            minute=i - MINUTES, answered=i % 9, failed=i % 2, refused=0, p50=12.0 + i, p99=None if i == 7 else 40.0 + i
        )
        for i in range(MINUTES)
    )
    made = Traffic(minutes=minutes, requests=1, failed=0, refused=0, per_minute=1.0, p50=None, p99=None, last_ms=None)
    return made.points()


def compared() -> list[dict[str, Any]]:
    """Two releases."""
    return [
        {"release": "aaaa", "kind": "evaluated", "value": 0.88, "lower": 0.86, "upper": 0.9},
        {"release": "aaaa", "kind": "in production", "value": 0.9, "lower": 0.87, "upper": 0.92},
        {"release": "bbbb", "kind": "evaluated", "value": 0.8, "lower": 0.77, "upper": 0.83},
    ]


@drawable
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_chart_is_svg_in_the_colours_of_its_scheme(theme: Any) -> None:
    look = ChartStyle(theme=theme, width=330)
    for spec in (traffic_spec(hour(), look), latency_spec(hour(), look), quality_spec(compared(), look)):
        svg = asyncio.run(charts.render(spec))
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg") and abs(float(root.attrib["width"]) - 330) < 12
        assert look.ink["main"].encode() in svg
        assert b"<script" not in svg and b"style=" not in svg


@drawable
def test_a_chart_without_any_value_is_still_a_chart() -> None:
    assert asyncio.run(charts.render(quality_spec([], LOOK))).startswith(b"<svg")


@drawable
def test_the_same_chart_is_drawn_once_and_old_ones_are_let_go() -> None:
    async def twice() -> None:
        store = charts.ChartStore(kept=1)
        first = await asyncio.gather(store.svg(traffic_spec(hour(), LOOK)), store.svg(traffic_spec(hour(), LOOK)))
        assert first[0] is first[1]
        await store.svg(quality_spec(compared(), LOOK))
        assert len(store._charts) == 1

    asyncio.run(twice())


@drawable
def test_the_child_is_gone_after_a_time_out() -> None:
    async def impatient() -> None:
        with pytest.raises(EnvironmentMissing, match="took over"):
            await charts.render(traffic_spec(hour(), LOOK), timeout_s=0.01)

    before = children()
    asyncio.run(impatient())
    assert children() <= before


@drawable
def test_a_specification_that_cannot_be_drawn_is_told_and_not_kept() -> None:
    async def odd() -> None:
        store = charts.ChartStore()
        with pytest.raises(EnvironmentMissing, match="could not be drawn"):
            await store.svg({"mark": 7})
        assert not store._charts

    asyncio.run(odd())


@drawable
def test_the_console_draws_the_loss_curve_of_a_run(site: Site) -> None:
    run = fingerprint(site.shop.live.run)
    answer = site.get(f"/charts/curve-wide-light.svg?run={run}")
    assert answer.status_code == 200 and answer.text.startswith("<svg")
    assert site.get("/charts/curve-wide-light.svg?run=nothing").status_code == 404


@drawable
def test_the_console_serves_each_chart_in_both_schemes_and_widths(site: Site) -> None:
    for name in ("traffic", "latency", "quality"):
        answer = site.get(f"/charts/{name}-narrow-dark.svg")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/svg+xml"
    for path in ("/charts/traffic-wide-pink.svg", "/charts/other-wide-dark.svg", "/charts/traffic-huge-dark.svg"):
        assert site.get(path).status_code == 404


def test_without_the_renderer_the_tables_stand_open_in_place_of_charts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda _name: None)
    text = site.get("/").text
    assert "<picture" not in text
    assert '<details class="as-table" open id="traffic-table"' in text
    assert site.get("/charts/traffic-wide-light.svg?route=unseen-width").status_code in (200, 503)


def children() -> set[int]:
    """Living child processes of this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found
