"""A real Prometheus reads a real `flyball up` under load; each panel shows data, and alerts reach an Alertmanager."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flyball.monitoring.config import ObjectivesConfig, TimeObjective
from flyball.monitoring.prometheus.dashboards import dashboards_of
from flyball.monitoring.prometheus.objectives import objectives_of
from flyball.supervision.ports import any_port
from flyball.workflows.monitoring import Addresses, render
from prometheus_server import exposition, program, prometheus, query, running, wait_for, webhook
from served import Served, add_release, make_project
from whole_hosts import Clients

OBJECTIVES = ObjectivesConfig(latency=TimeObjective(seconds=2.5, share=0.99))
EVENTS = """
# TYPE flyball_gateway_refused_total counter
flyball_gateway_refused_total{code="rate_limited",worker="9"} 4
# TYPE flyball_gateway_retries_total counter
flyball_gateway_retries_total{route="shop",reason="reset",worker="9"} 4
# TYPE flyball_gateway_fallbacks_total counter
flyball_gateway_fallbacks_total{route="shop",release="r",variant="canary",worker="9"} 1
# TYPE flyball_gateway_ejections_total counter
flyball_gateway_ejections_total{endpoint="e",worker="9"} 1
# TYPE flyball_gateway_mirrored_total counter
flyball_gateway_mirrored_total{route="shop",release="r",outcome="ok",worker="9"} 1
# TYPE flyball_gateway_mirrored_usd_total counter
flyball_gateway_mirrored_usd_total{route="shop",release="r",worker="9"} 1
# TYPE flyball_gateway_recording_failures_total counter
flyball_gateway_recording_failures_total{kind="request",worker="9"} 0
# TYPE flyball_gateway_first_token_seconds histogram
flyball_gateway_first_token_seconds_bucket{route="shop",release="r",variant="live",le="+Inf",worker="9"} 3
# TYPE flyball_engine_cache_ratio gauge
flyball_engine_cache_ratio{release="r",engine="e"} 0.4
# TYPE flyball_findings_total counter
flyball_findings_total{route="shop",kind="drift",severity="warning"} 1
# TYPE flyball_budget_limit_usd gauge
flyball_budget_limit_usd{account="team:a",name="a"} 10
# TYPE flyball_budget_spent_usd gauge
flyball_budget_spent_usd{account="team:a",name="a"} 9
# TYPE flyball_budget_forecast_usd gauge
flyball_budget_forecast_usd{account="team:a",name="a"} 12
"""
"""A double, for what did not happen on this host: refusals, retries, shadows, findings, budgets, a paged cache."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program("prometheus")
    project = make_project(tmp_path_factory.mktemp("watched") / "shop", gateway={"port": 0}, console={"port": 0})
    release = add_release(project, "one")
    with Served(project) as host:
        host.go_live(release)
        yield host


def test_every_panel_and_rule_has_data_and_an_alert_reaches_its_receiver(served: Served, tmp_path: Path) -> None:
    clients = Clients(served)
    with exposition(EVENTS) as double, webhook() as (receiver, received):
        alertmanager = any_port()
        addresses = Addresses(
            gateways=(f"127.0.0.1:{served.port}", f"127.0.0.1:{double}"),
            console="http://127.0.0.1:1",
            alertmanager=f"127.0.0.1:{alertmanager}",
            webhook=f"http://127.0.0.1:{receiver}",
        )
        render(OBJECTIVES, addresses, tmp_path)
        quick(tmp_path / "prometheus/prometheus.yml")
        command = [
            program("prometheus-alertmanager"),
            f"--config.file={tmp_path / 'alertmanager/alertmanager.yml'}",
            f"--storage.path={tmp_path / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ]
        ready = f"http://127.0.0.1:{alertmanager}/-/ready"
        with running(command, ready), prometheus(tmp_path / "prometheus/prometheus.yml", tmp_path / "data") as url:
            end = time.monotonic() + 8
            while time.monotonic() < end:
                clients.ask()
                time.sleep(0.05)
            assert len(clients.answered) > 20, clients.failures[:2]
            wait_for(lambda: not without_data(url), 30, f"no data: {without_data(url)}")
            wait_for(
                lambda: any(one["path"] == "/tickets" and named(one, "FlyballBudgetNearlySpent") for one in received),
                60,
                f"no alert came: {query(url, 'ALERTS')}",
            )
            firing = {one["metric"]["alertname"] for one in query(url, 'ALERTS{alertstate="firing"}')}
            assert "FlyballGatewayDown" not in firing and "FlyballAvailabilityBudgetPage" not in firing
    said = subprocess.run(
        [program("promtool"), "check", "metrics"], input=page(served), capture_output=True, text=True, timeout=30
    )
    assert said.returncode == 0, said.stdout + said.stderr


def quick(config: Path) -> None:
    document = yaml.safe_load(config.read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump(document))
    rules = config.parent / "rules/flyball-objectives.yml"
    rules.write_text(rules.read_text().replace("interval: 30s", "interval: 1s"))


def without_data(url: str) -> list[str]:
    found = []
    for board in dashboards_of(objectives_of(OBJECTIVES)):
        for panel in board.panels:
            for expr in panel.queries.values():
                asked = re.sub(r"\$(route|release)\b", ".*", expr.replace("$__rate_interval", "30s"))
                if not query(url, asked):
                    found.append(f"{board.name}: {panel.title}: {asked}")
    return found


def named(notice: dict[str, object], alert: str) -> bool:
    alerts = notice["alerts"]
    assert isinstance(alerts, list)
    return any(one["labels"]["alertname"] == alert for one in alerts)


def page(served: Served) -> str:
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
