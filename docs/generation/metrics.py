"""Every metric of a host: its name, type, labels and description."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from flyball.control.host_metrics import FAMILIES
from flyball.gateway.metrics import Counter, Gauge, Histogram, Metrics
from flyball.gateway.worker_gauges import add_gauges
from generation.markdown import cell, code, table


def metrics() -> Iterator[Counter | Gauge | Histogram]:
    """Those of a gateway worker, as `GET /metrics` orders them; gauges read nothing until somebody asks for a page."""
    found = Metrics(worker=0)
    worker = SimpleNamespace(metrics=found, limits=SimpleNamespace(keeper=None), access=None)
    add_gauges(worker, SimpleNamespace(), compiled=False)  # type: ignore[arg-type]
    yield from (*found.families, *found.gauges)


def metrics_page() -> str:
    """The page of all metrics."""
    rows = [
        (code(one.name), one.kind, ", ".join(code(label) for label in (*one.labels, "worker")), cell(one.text))
        for one in metrics()
    ]
    rows += [
        (code(one.name), one.kind, ", ".join(code(label) for label in one.labels), cell(one.text)) for one in FAMILIES
    ]
    return (
        "# Metrics\n\n`GET /metrics` of the gateway gives these as Prometheus text. Each worker has the label "
        "`worker`: sum over it. Those without it are "
        "left there by control, of its host. [Who may ask](clients.md#feedback-and-errors).\n\n"
        + table(("metric", "type", "labels", "what"), rows)
    )
