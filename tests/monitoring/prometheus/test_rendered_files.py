"""What `flyball monitoring render` writes is what promtool and amtool accept, and speaks of metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from flyball.control.host_metrics import FAMILIES
from flyball.errors import ConfigError
from flyball.gateway.metrics import Histogram, Metrics
from flyball.gateway.worker_gauges import add_gauges
from flyball.monitoring.config import ObjectivesConfig, TimeObjective
from flyball.monitoring.prometheus.alert_rules import alerts_of
from flyball.monitoring.prometheus.dashboards import dashboards_of
from flyball.monitoring.prometheus.objectives import objectives_of
from flyball.settings import parse_settings
from flyball.workflows.monitoring import Addresses, render, rendered
from prometheus_server import program

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "deploy/monitoring"
OBJECTIVES = ObjectivesConfig(
    latency=TimeObjective(seconds=2.5, share=0.99), first_token=TimeObjective(seconds=1.0, share=0.95)
)
ADDRESSES = Addresses(gateways=("127.0.0.1:8080",), console="http://127.0.0.1:8400")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("monitoring")
    render(OBJECTIVES, ADDRESSES, target)
    return target


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([program(command[0]), *command[1:]], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_the_rules(folder: Path) -> None:
    said = run("promtool", "check", "config", "prometheus/prometheus.yml", cwd=folder)
    assert "FAILED" not in said and said.count("SUCCESS") == 4  # the files, and the rules of each


def test_each_alert_fires_on_its_series_and_stays_quiet_on_healthy_ones(folder: Path) -> None:
    tests = yaml.safe_load((folder / "prometheus/tests/alerts.yml").read_text())["tests"]
    budgets = yaml.safe_load((folder / "prometheus/tests/objectives.yml").read_text())["tests"]
    assert len(tests) + len(budgets) == 2 * len(alerts_of(objectives_of(OBJECTIVES)))
    run("promtool", "test", "rules", "prometheus/tests/alerts.yml", "prometheus/tests/objectives.yml", cwd=folder)


def test_amtool_accepts_the_routes_and_pages_go_to_the_pager(folder: Path) -> None:
    run("amtool", "check-config", "alertmanager/alertmanager.yml", cwd=folder)
    config = "--config.file=alertmanager/alertmanager.yml"
    assert "pages" in run("amtool", "config", "routes", "test", config, "severity=page", cwd=folder)
    assert "tickets" in run("amtool", "config", "routes", "test", config, "severity=ticket", cwd=folder)


def known_metrics() -> set[str]:
    metrics = Metrics(0)
    worker = SimpleNamespace(metrics=metrics, limits=SimpleNamespace(keeper=None), access=None)
    add_gauges(worker, SimpleNamespace(), compiled=False)  # type: ignore[arg-type]
    names = {family.name for family in (*metrics.families, *metrics.gauges, *FAMILIES)}
    histograms = [family.name for family in metrics.families if isinstance(family, Histogram)]
    return names | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def test_rules_and_dashboards_name_only_metrics_that_exist() -> None:
    named = {
        name
        for text in rendered(OBJECTIVES, ADDRESSES).values()
        for name in re.findall(r"\bflyball_[a-z_]+\b(?=[{\[ )/\"\\]|$)", text)
    }
    assert len(named) > 25 and named <= known_metrics(), named - known_metrics()


def test_each_alert_has_its_paragraph_in_the_runbook() -> None:
    runbook = (ROOT / "docs/how-to/incidents.md").read_text()
    headings = set(re.findall(r"^## (\w+)$", runbook, re.M))
    alerts = {alert.name for alert in alerts_of(objectives_of(OBJECTIVES))}
    assert alerts == headings


def test_committed_files_are_those_that_the_code_writes() -> None:
    expected = rendered(ObjectivesConfig(), ADDRESSES)
    found = {str(path.relative_to(COMMITTED)): path.read_text() for path in COMMITTED.rglob("*") if path.is_file()}
    assert found == expected, "run `flyball monitoring render deploy/monitoring` in a project of defaults"


def test_dashboards_have_unique_panels_with_units_and_a_source() -> None:
    for page in dashboards_of(objectives_of(OBJECTIVES)):
        titles = [panel.title for panel in page.panels]
        assert len(titles) == len(set(titles)) >= 5
    document = json.loads(rendered(OBJECTIVES, ADDRESSES)["grafana/dashboards/overview.json"])
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {"${datasource}"}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]]
    assert len(set(places)) == len(places)


def test_an_objective_between_two_buckets_is_refused_with_those_that_there_are() -> None:
    document = {
        "version": 1,
        "project": "shop",
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "objectives": {"latency": {"seconds": 2, "share": 0.99}},
    }
    with pytest.raises(ConfigError, match=r"objectives.latency.seconds is 2, which no bucket") as refused:
        parse_settings(document)
    assert "2.5" in str(refused.value.cure)


def test_without_objectives_there_are_no_budgets_and_no_tests_of_them() -> None:
    files = rendered(ObjectivesConfig(availability=None), ADDRESSES)
    assert "prometheus/tests/objectives.yml" not in files
    assert yaml.safe_load(files["prometheus/rules/flyball-objectives.yml"]) == {"groups": []}
