"""A load test as one HTML page with plots: no script, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from flyball.evaluation.load.job import LoadResult
from flyball.evaluation.reports.charts import CONFIG, INK, SOFT
from flyball.evaluation.reports.html import SECTIONS, Section, figure, gate_section, page
from flyball.evaluation.reports.plots import svgs
from flyball.records import GateDecision

ALERT = "#b3372f"
PAGE = page(
    "Load on {{ result.url }}",
    """<h1>Load on {{ result.url }}</h1>
<p>Model <code>{{ result.model }}</code>, {{ "streamed" if result.stream else "plain" }} answers. Open loop: requests
left by plan ({{ result.arrivals }}), whatever became of those before; times count from the planned moment.</p>
<p>{{ run.requests }} requests in {{ run.seconds|figure }} s, {{ run.answered }} answered. The sender was
{{ run.lag.p99_ms|figure }} ms late at the 99th percentile, {{ run.lag.max_ms|figure }} ms at most.</p>
{% for reason in run.invalid %}
<p class="fail"><strong>Invalid: {{ reason }}.</strong> These figures say more of the sender than of the server.</p>
{% endfor %}
{% for note in run.notes %}
<p>{{ note }}.</p>
{% endfor %}
"""
    + SECTIONS,
)


def axis(name: str, title: str, **more: Any) -> dict[str, Any]:
    """A quantitative axis."""
    return {"field": name, "type": "quantitative", "title": title, **more}


def lines(values: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], colours: list[str]) -> dict[str, Any]:
    """A line for each `line` among the values."""
    colour = {"field": "line", "type": "nominal", "title": None, "sort": None, "scale": {"range": colours}}
    return {
        "config": CONFIG,
        "width": 560,
        "height": 200,
        "data": {"values": values},
        "mark": {"type": "line", "point": len(values) < 200},
        "encoding": {"x": x, "y": y, "color": colour},
    }


def charts_of(result: LoadResult) -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications by name."""
    run, time = result.summary, axis("at", "seconds since the start")
    log = {"scale": {"type": "log", "nice": False}}
    rates = [{"at": w.at_s, "line": "sent", "value": w.sent_per_s} for w in run.windows]
    rates += [{"at": w.at_s, "line": "good", "value": w.good_per_s} for w in run.windows]
    rates += [{"at": w.at_s, "line": "failed", "value": w.failed * len(run.windows) / run.seconds} for w in run.windows]
    slow = [{"at": w.at_s, "line": "median", "value": w.e2e_p50_ms} for w in run.windows if w.e2e_p50_ms]
    slow += [{"at": w.at_s, "line": "p99", "value": w.e2e_p99_ms} for w in run.windows if w.e2e_p99_ms]
    shares = [
        {"ms": max(ms, 1e-3), "line": name, "share": share} for name, curve in run.curves.items() for share, ms in curve
    ]
    charts = {"rates": lines(rates, time, axis("value", "requests per second"), [SOFT, INK, ALERT])}
    if slow:
        charts["latency"] = lines(slow, time, axis("value", "milliseconds", **log), [INK, SOFT])
    if shares:
        x, y = axis("ms", "milliseconds", **log), axis("share", "share of requests")
        charts["shares"] = lines(shares, x, y, [SOFT, "#c98a2b", "#7a5ea8", INK])
        charts["shares"]["mark"] = {"type": "line", "interpolate": "step-after"}
        charts["shares"]["encoding"]["order"] = {"field": "share", "type": "quantitative"}
    if result.saturation:
        tried = [{"at": t.rate, "line": "good", "value": t.goodput_share} for t in result.saturation.trials]
        charts["trials"] = lines(tried, axis("at", "requests per second", **log), axis("value", "share good"), [INK])
    return charts


def sections_of(result: LoadResult, charts: dict[str, Markup]) -> Iterator[Section]:
    """The page below its head."""
    run = result.summary
    limits = ", ".join(f"{name} ≤ {limit:g} ms" for name, limit in result.objectives_ms.items()) or "answered"
    yield Section(
        title="Measures",
        caption=f"Good: {limits}. Intervals at level {run.level:g}, over blocks of time. Requests that failed stand "
        "above all answers in each percentile; – where there is no number.",
        heads=("Measure", "Value", "Lower", "Upper", "n"),
        rows=tuple((m.name, m.value, m.lower, m.upper, m.n) for m in run.measures),
    )
    if found := result.saturation:
        yield Section(
            title=f"Saturation: {found.rate:.4g} requests/s" if found.rate else "Saturation: no rate held",
            caption=f"A rate holds when {found.share:.4g} of its requests are good; limited by the {found.limited_by}.",
            chart=charts.get("trials"),
            heads=("Rate", "Held", "Good", "Lower", "Upper", "Requests", "e2e p50, ms", "e2e p99, ms"),
            rows=tuple(
                (
                    t.rate,
                    "yes" if t.held else "no",
                    t.goodput_share,
                    t.lower,
                    t.upper,
                    t.requests,
                    t.e2e_p50_ms,
                    t.e2e_p99_ms,
                )
                for t in found.trials
            ),
        )
    if back := result.recovery:
        said = "not within the run" if back.recovered_s is None else f"{back.recovered_s:.3g} s after the overload"
        yield Section(
            title=f"Recovery: {said}",
            heads=("Overload ended at, s", "Good again means"),
            rows=((back.overload_ended_s, f"{back.share:g} of the requests good, three windows in a row"),),
        )
    yield Section(title="Sent, good and failed over time", chart=charts.get("rates"))
    yield Section(title="End to end over time", chart=charts.get("latency"))
    yield Section(title="Shares of requests by latency", chart=charts.get("shares"))
    yield Section(
        title="Errors",
        heads=("Kind", "Times", "The first said"),
        rows=tuple((kind, count, run.examples.get(kind, "")) for kind, count in run.errors.items()),
    )


def render(result: LoadResult, decision: GateDecision | None = None) -> str:
    """The page; charts are in it where the renderer is installed."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    charts = {name: Markup(svg) for name, svg in svgs(charts_of(result)).items()}  # our own renderer's output
    sections = list(sections_of(result, charts))
    return environment.from_string(PAGE).render(
        result=result,
        run=result.summary,
        sections=[gate_section(decision), *sections] if decision else sections,
        verdicts=("pass", "fail", "inconclusive"),
    )
