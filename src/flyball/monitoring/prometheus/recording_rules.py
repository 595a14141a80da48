"""Recording rules: the error ratio of each objective by window, and what is left of its budget. Pure."""

from __future__ import annotations

from typing import Any

from flyball.monitoring.prometheus.objectives import WINDOWS, Objective

PERIOD = "30d"


def recording_rules(objectives: list[Objective]) -> dict[str, Any]:
    """A rule file as plain data."""
    groups = []
    for one in objectives:
        labels = {"objective": one.name}
        ratios = [
            {"record": f"slo:sli_error:ratio_rate{window}", "expr": one.error_ratio(window), "labels": labels}
            for window in WINDOWS
        ]
        mean = f'avg_over_time(slo:sli_error:ratio_rate5m{{objective="{one.name}"}}[{PERIOD}])'
        budget = 1 - one.share
        rest: list[dict[str, Any]] = [
            {"record": "slo:objective:ratio", "expr": f"vector({one.share})", "labels": labels},
            {"record": "slo:error_budget_left:ratio", "expr": f"1 - {mean} / {budget:.6g}", "labels": labels},
            {
                "record": "slo:burn_rate:ratio",
                "expr": f'slo:sli_error:ratio_rate1h{{objective="{one.name}"}} / {budget:.6g}',
                "labels": labels,
            },
        ]
        groups.append({"name": f"flyball-objective-{one.name}", "interval": "30s", "rules": [*ratios, *rest]})
    return {"groups": groups}
