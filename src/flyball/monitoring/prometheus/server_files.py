"""Configuration of Prometheus, Alertmanager and Grafana that reads the rendered rules and dashboards. Pure."""

from __future__ import annotations

from typing import Any


def prometheus_config(targets: list[str], *, alertmanager: str, key_file: str | None) -> dict[str, Any]:
    """Scrapes each gateway; one page tells all about its host. `key_file` holds an API key, where pages need one."""
    job: dict[str, Any] = {"job_name": "flyball", "static_configs": [{"targets": targets}]}
    if key_file is not None:
        job["authorization"] = {"type": "Bearer", "credentials_file": key_file}
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [job],
    }


def alertmanager_config(webhook: str) -> dict[str, Any]:
    """Pages at once, tickets in groups; both to one webhook, which is where to put your own receivers."""
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", "route"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ['severity="page"'],
                    "receiver": "pages",
                    "group_wait": "5s",
                    "repeat_interval": "1h",
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["route"],
            }
        ],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": f"{webhook}/{name}", "send_resolved": True}]}
            for name in ("pages", "tickets")
        ],
    }


def grafana_source(prometheus: str) -> dict[str, Any]:
    """The data source, for provisioning/datasources."""
    source = {"name": "Prometheus", "type": "prometheus", "uid": "flyball", "url": prometheus, "access": "proxy"}
    return {"apiVersion": 1, "datasources": [source]}


def grafana_provider(folder: str) -> dict[str, Any]:
    """Where the dashboards lie, for provisioning/dashboards."""
    provider = {"name": "flyball", "folder": "Flyball", "type": "file", "options": {"path": folder}}
    return {"apiVersion": 1, "providers": [provider]}
