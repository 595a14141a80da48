"""Unit tests of the alert rules, as promtool reads them: what fires each, and what does not. Pure."""

from __future__ import annotations

from typing import Any

from flyball.monitoring.prometheus.alert_rules import Alert, Series


def rule_tests(alerts: list[Alert], *, rule_files: dict[str, dict[str, Any]], every: str) -> dict[str, Any]:
    """A test file as plain data, evaluated `every` so often.

    `rule_files` are the rules by file, as seen from its folder, in the order in which they are evaluated.
    """
    tests = [_test(alert, series) for alert in alerts for series in (alert.firing, alert.quiet)]
    order = [group["name"] for rules in rule_files.values() for group in rules["groups"]]
    return {
        "rule_files": list(rule_files),
        "evaluation_interval": every,
        "group_eval_order": order,
        "tests": tests,
    }


def _test(alert: Alert, series: Series) -> dict[str, Any]:
    fires = series is alert.firing
    expected = [{"labels": f'{{alertname="{alert.name}"}}', "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{alert.name}",alertstate="firing"}})',
                "eval_time": alert.at,
                "exp_samples": expected,
            }
        ],
    }
