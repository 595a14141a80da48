"""`flyball monitoring render`: files for Prometheus, Alertmanager and Grafana. I/O: writes a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from flyball.monitoring.config import ObjectivesConfig
from flyball.monitoring.prometheus.alert_rules import alert_rules, alerts_of
from flyball.monitoring.prometheus.dashboards import dashboards_of
from flyball.monitoring.prometheus.grafana import dashboard_json
from flyball.monitoring.prometheus.objectives import objectives_of
from flyball.monitoring.prometheus.recording_rules import recording_rules
from flyball.monitoring.prometheus.rule_tests import rule_tests
from flyball.monitoring.prometheus.server_files import (
    alertmanager_config,
    grafana_provider,
    grafana_source,
    prometheus_config,
)
from flyball.whole_files import replace_file

HEADER = "# Written by `flyball monitoring render`: change flyball.yaml and render again.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where things are found: `gateways` as HOST:PORT, the others as Prometheus and Grafana reach them."""

    gateways: tuple[str, ...]
    console: str
    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "127.0.0.1:9093"
    webhook: str = "http://127.0.0.1:9099"
    runbook: str = "docs/how-to/incidents.md"
    key_file: str | None = None
    dashboards: str = "/var/lib/grafana/dashboards"


def render(objectives: ObjectivesConfig, addresses: Addresses, folder: Path) -> list[Path]:
    """Write every file; those that were written."""
    written = []
    for name, content in rendered(objectives, addresses).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.encode(), durable=False)
        written.append(path)
    return written


def rendered(objectives: ObjectivesConfig, addresses: Addresses) -> dict[str, str]:
    """The content of every file, by its path in the folder."""
    promises = objectives_of(objectives)
    alerts, burning = alerts_of(promises), 2 * len(promises)
    recording, alerting = recording_rules(promises), alert_rules(alerts, runbook=addresses.runbook)
    rules = {"../rules/flyball-objectives.yml": recording, "../rules/flyball-alerts.yml": alerting}
    scrape = prometheus_config(
        list(addresses.gateways), alertmanager=addresses.alertmanager, key_file=addresses.key_file
    )
    documents: dict[str, Mapping[str, object]] = {
        "prometheus/prometheus.yml": scrape,
        "prometheus/rules/flyball-objectives.yml": recording,
        "prometheus/rules/flyball-alerts.yml": alerting,
        "prometheus/tests/alerts.yml": rule_tests(alerts[burning:], rule_files=rules, every="1m"),
        "alertmanager/alertmanager.yml": alertmanager_config(addresses.webhook),
        "grafana/provisioning/datasources/flyball.yml": grafana_source(addresses.prometheus),
        "grafana/provisioning/dashboards/flyball.yml": grafana_provider(addresses.dashboards),
    }
    if promises:
        budgets = rule_tests(alerts[:burning], rule_files=rules, every="20m")
        documents["prometheus/tests/objectives.yml"] = budgets
    pages = {
        f"grafana/dashboards/{page.name}.json": json.dumps(dashboard_json(page, console=addresses.console), indent=1)
        for page in dashboards_of(promises)
    }
    return {name: HEADER + _yaml(document) for name, document in documents.items()} | {
        name: f"{text}\n" for name, text in pages.items()
    }


def _yaml(document: Mapping[str, object]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
