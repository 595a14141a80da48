"""The dashboards: overview, one route, rollouts, engines, cost, data and quality. Pure."""

from __future__ import annotations

from flyball.monitoring.prometheus.grafana import Dashboard, Panel
from flyball.monitoring.prometheus.objectives import Objective

_RATE = "[$__rate_interval]"
_ROUTE = 'route=~"$route"'
_ARM = f'{_ROUTE},release=~"$release"'


def _by(label: str, metric: str, where: str = "") -> str:
    return f"sum by ({label}) (rate({metric}{{{where}}}{_RATE}))"


def _quantile(share: float, metric: str, label: str, where: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le, {label}) (rate({metric}_bucket{{{where}}}{_RATE})))"


def dashboards_of(objectives: list[Objective]) -> list[Dashboard]:
    """All dashboards; the overview shows the objectives that the settings name."""
    return [_overview(objectives), ROUTE, ROLLOUTS, ENGINES, COST, QUALITY]


def _overview(objectives: list[Objective]) -> Dashboard:
    left = [
        Panel(
            title=f"Error budget left: {one.name}",
            queries={"{{route}}": f'slo:error_budget_left:ratio{{objective="{one.name}"}}'},
            unit="percentunit",
            kind="stat",
            about=f"{one.share:.4%} of {one.about} is promised over 30 days; 0 % left: the promise is broken.",
        )
        for one in objectives
    ]
    burn = [
        Panel(
            title="Burn rate (1 h)",
            queries={"{{route}} {{objective}}": "slo:burn_rate:ratio"},
            limits=(3, 14.4),
            about="1 spends the budget in exactly 30 days.",
        )
    ]
    return Dashboard(
        name="overview",
        title="Overview",
        panels=(
            Panel(
                title="Requests", queries={"{{route}}": _by("route", "flyball_gateway_requests_total")}, unit="reqps"
            ),
            Panel(
                title="Answers by outcome",
                queries={"{{outcome}}": _by("outcome", "flyball_gateway_requests_total")},
                unit="reqps",
            ),
            Panel(
                title="Time to the last byte, 95 of 100",
                queries={"{{route}}": _quantile(0.95, "flyball_gateway_request_seconds", "route")},
                unit="s",
            ),
            *left,
            *(burn if objectives else ()),
            Panel(title="In flight", queries={"{{instance}}": "sum by (instance) (flyball_gateway_in_flight)"}),
            Panel(
                title="CPU by process",
                queries={"{{process}}": _by("process", "flyball_process_cpu_seconds_total")},
                unit="short",
                about="Cores in use.",
            ),
            Panel(
                title="Memory by process",
                queries={"{{process}}": "sum by (process) (flyball_process_resident_memory_bytes)"},
                unit="bytes",
            ),
            Panel(
                title="Free disk",
                queries={"{{instance}}": "flyball_disk_free_bytes / flyball_disk_size_bytes"},
                unit="percentunit",
            ),
            Panel(
                title="Records that wait for the ledger",
                queries={"{{instance}}": "flyball_segments_waiting_bytes"},
                unit="bytes",
                limits=(1e7, 6.4e7),
            ),
        ),
    )


ROUTE = Dashboard(
    name="route",
    title="One route",
    variables={"route": "flyball_gateway_requests_total", "release": "flyball_gateway_requests_total"},
    panels=(
        Panel(
            title="Requests by release",
            queries={"{{release}} {{variant}}": _by("release, variant", "flyball_gateway_requests_total", _ARM)},
            unit="reqps",
        ),
        Panel(
            title="Status",
            queries={"{{status}}": _by("status", "flyball_gateway_requests_total", _ARM)},
            unit="reqps",
        ),
        Panel(
            title="Share without an answer",
            queries={
                "{{release}}": f'sum by (release) (rate(flyball_gateway_requests_total{{{_ARM},outcome=~"error|cut"}}'
                f"{_RATE})) or 0 * {_by('release', 'flyball_gateway_requests_total', _ARM)}"
            },
            unit="reqps",
        ),
        *(
            Panel(
                title=f"{title}, {int(share * 100)} of 100",
                queries={"{{release}}": _quantile(share, metric, "release", _ARM)},
                unit="s",
            )
            for title, metric in (
                ("Time to the last byte", "flyball_gateway_request_seconds"),
                ("Time to the first token", "flyball_gateway_first_token_seconds"),
                ("Wait for a slot", "flyball_gateway_queue_seconds"),
            )
            for share in (0.5, 0.99)
        ),
        Panel(
            title="Tokens",
            queries={"{{kind}}": _by("kind", "flyball_gateway_tokens_total", _ARM)},
            about="Tokens a second.",
        ),
        Panel(title="Refused before any engine", queries={"{{code}}": _by("code", "flyball_gateway_refused_total")}),
        Panel(
            title="Further attempts and fallbacks",
            queries={
                "retry {{reason}}": _by("reason", "flyball_gateway_retries_total", _ROUTE),
                "fallback from {{release}}": _by("release", "flyball_gateway_fallbacks_total", _ARM),
            },
        ),
    ),
)

ROLLOUTS = Dashboard(
    name="rollouts",
    title="Rollouts",
    variables={"route": "flyball_deployment_state"},
    panels=(
        Panel(
            title="Deployments",
            queries={"{{route}} {{release}} {{state}}": f"flyball_deployment_state{{{_ROUTE}}}"},
            kind="table",
            width=12,
        ),
        Panel(
            title="Share of requests by variant",
            queries={
                "{{variant}} {{release}}": _by("route, release, variant", "flyball_gateway_requests_total", _ROUTE)
                + " / on (route) group_left () "
                + _by("route", "flyball_gateway_requests_total", _ROUTE)
            },
            unit="percentunit",
            width=12,
        ),
        Panel(
            title="Errors by variant",
            queries={
                "{{variant}} {{release}}": "sum by (release, variant) (rate(flyball_gateway_requests_total"
                f'{{{_ROUTE},outcome="error"}}{_RATE})) '
                f"or 0 * {_by('release, variant', 'flyball_gateway_requests_total', _ROUTE)}"
            },
            unit="reqps",
        ),
        Panel(
            title="Time by variant, 95 of 100",
            queries={
                "{{variant}} {{release}}": _quantile(
                    0.95, "flyball_gateway_request_seconds", "release, variant", _ROUTE
                )
            },
            unit="s",
        ),
        Panel(
            title="Shadow answers",
            queries={"{{release}} {{outcome}}": _by("release, outcome", "flyball_gateway_mirrored_total", _ROUTE)},
        ),
    ),
)

ENGINES = Dashboard(
    name="engines",
    title="Engines",
    variables={"release": "flyball_engine_ready"},
    panels=(
        Panel(
            title="Ready",
            queries={"{{release}} {{engine}}": 'flyball_engine_ready{release=~"$release"}'},
            kind="stat",
        ),
        Panel(
            title="Requests inside",
            queries={"{{release}} {{state}}": 'sum by (release, state) (flyball_engine_requests{release=~"$release"})'},
        ),
        Panel(
            title="Cache in use",
            queries={"{{release}} {{engine}}": 'flyball_engine_cache_ratio{release=~"$release"}'},
            unit="percentunit",
            limits=(0.8, 0.95),
            about="Of engines that tell it, such as vLLM.",
        ),
        Panel(title="Waiting at the gateway", queries={"{{arm}}": "sum by (arm) (flyball_gateway_waiting)"}),
        Panel(
            title="CPU",
            queries={"{{process}}": _by("process", "flyball_process_cpu_seconds_total", 'process=~"engine-.*"')},
        ),
        Panel(
            title="Memory",
            queries={"{{process}}": 'flyball_process_resident_memory_bytes{process=~"engine-.*"}'},
            unit="bytes",
        ),
        Panel(title="Put aside", queries={"{{endpoint}}": _by("endpoint", "flyball_gateway_ejections_total")}),
    ),
)

COST = Dashboard(
    name="cost",
    title="Cost",
    variables={"route": "flyball_gateway_cost_usd_total"},
    panels=(
        Panel(
            title="Dollars an hour",
            queries={
                "{{route}} {{release}}": f"3600 * {_by('route, release', 'flyball_gateway_cost_usd_total', _ROUTE)}"
            },
            unit="currencyUSD",
        ),
        Panel(
            title="Dollars per 1,000 answers",
            queries={
                "{{release}}": f"1000 * {_by('release', 'flyball_gateway_cost_usd_total', _ROUTE)} / "
                "(sum by (release) "
                f'(rate(flyball_gateway_requests_total{{{_ROUTE},outcome="ok"}}{_RATE})) > 0)'
            },
            unit="currencyUSD",
        ),
        Panel(
            title="Tokens by kind",
            queries={"{{kind}}": _by("kind", "flyball_gateway_tokens_total", _ROUTE)},
        ),
        Panel(
            title="Budgets: part that is spent",
            queries={"{{name}}": "flyball_budget_spent_usd / flyball_budget_limit_usd"},
            unit="percentunit",
            limits=(0.8, 0.99),
        ),
        Panel(
            title="Budgets: the month at this pace",
            queries={"{{name}}": "flyball_budget_forecast_usd / flyball_budget_limit_usd"},
            unit="percentunit",
            limits=(0.9, 1.0),
        ),
        Panel(
            title="Shadows, dollars an hour",
            queries={"{{release}}": f"3600 * {_by('release', 'flyball_gateway_mirrored_usd_total', _ROUTE)}"},
            unit="currencyUSD",
        ),
    ),
)

QUALITY = Dashboard(
    name="quality",
    title="Data and quality",
    variables={"route": "flyball_gateway_requests_total"},
    panels=(
        Panel(
            title="Findings since the ledger began",
            queries={"{{route}} {{kind}} {{severity}}": 'flyball_findings_total{route=~"$route|"}'},
            kind="table",
            width=12,
        ),
        Panel(
            title="New findings in a day",
            queries={"{{kind}}": 'sum by (kind) (increase(flyball_findings_total{route=~"$route|"}[1d]))'},
            width=12,
        ),
        Panel(
            title="Records written",
            queries={"{{kind}}": _by("kind", "flyball_gateway_recorded_total")},
            about="Requests and feedback, a second.",
        ),
        Panel(
            title="Records lost",
            queries={"{{kind}}": "sum by (kind) (increase(flyball_gateway_recording_failures_total[1h]))"},
            limits=(0, 1),
        ),
        Panel(
            title="Tokens per request",
            queries={
                "{{kind}}": f"{_by('kind', 'flyball_gateway_tokens_total', _ROUTE)} / on () group_left () "
                f"(sum(rate(flyball_gateway_requests_total{{{_ROUTE}}}{_RATE})) > 0)"
            },
            about="Longer prompts or answers show a change of what is asked.",
        ),
    ),
)
