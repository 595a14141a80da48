"""Alert rules: budgets of objectives by burn rate, and what breaks without a request failing. Pure.

Each alert carries the series that make it fire and those that do not: promtool runs them as its unit tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flyball.monitoring.prometheus.objectives import BURN_RATES, Objective

Series = dict[str, str]
"""A series in promtool's notation: its name and labels, and its values."""
Severity = Literal["page", "ticket", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule; `firing` makes it fire at `at`, `quiet` does not."""

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    firing: Series
    quiet: Series
    at: str = "20m"

    def rule(self, runbook: str) -> dict[str, Any]:
        """As Prometheus reads it; `runbook` is the page that says what to do."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook}#{self.name.lower()}",
            },
        }


def alert_rules(alerts: list[Alert], *, runbook: str) -> dict[str, Any]:
    """A rule file as plain data."""
    return {"groups": [{"name": "flyball-alerts", "rules": [alert.rule(runbook) for alert in alerts]}]}


def alerts_of(objectives: list[Objective]) -> list[Alert]:
    """All alerts: two for each objective, then those that every installation has."""
    burning = [_burn(one, severity) for one in objectives for severity in ("page", "ticket")]
    return [*burning, *ALERTS]


def _burn(objective: Objective, severity: Literal["page", "ticket"]) -> Alert:
    budget = 1 - objective.share
    ratio = f'slo:sli_error:ratio_rate{{}}{{{{objective="{objective.name}"}}}}'
    parts = [
        f"({ratio.format(short)} > {times:g} * {budget:.6g} and {ratio.format(long)} > {times:g} * {budget:.6g})"
        for times, short, long in BURN_RATES[severity]
    ]
    words = "".join(part.title() for part in objective.name.split("_"))
    good, bad = _series(objective, failing=False), _series(objective, failing=True)
    return Alert(
        name=f"Flyball{words}Budget{severity.title()}",
        expr=" or ".join(parts),
        wait="2m" if severity == "page" else "15m",
        severity=severity,
        summary=f"{{{{ $labels.route }}}}: the error budget of {objective.name} burns too fast",
        description=f"Of {{{{ $labels.route }}}}, {objective.share:.4%} of {objective.about} is promised; "
        "{{ $value | humanizePercentage }} miss it now.",
        firing=bad,
        quiet=good,
        at="7h" if severity == "page" else "4d",
    )


def _series(objective: Objective, *, failing: bool) -> Series:
    """600 requests a minute; where they fail, 300 of them."""
    labels = 'route="shop",release="r",variant="live",worker="0"'
    late = "0+300x6000" if failing else "0+600x6000"
    if objective.name == "availability":
        requests = f"flyball_gateway_requests_total{{{labels},"
        series = {f'{requests}outcome="ok",status="200"}}': late}
        if failing:
            series[f'{requests}outcome="error",status="502"}}'] = "0+300x6000"
        return series
    metric = objective.all_rate.partition("rate(")[2].partition("_count")[0]
    bound = objective.failed_rate.partition('le="')[2].partition('"')[0]
    return {f"{metric}_count{{{labels}}}": "0+600x6000", f'{metric}_bucket{{{labels},le="{bound}"}}': late}


_UP = {"up{job='flyball',instance='a'}": "1x30"}
ALERTS = [
    Alert(
        name="FlyballGatewayDown",
        expr='up{job="flyball"} == 0 or absent(up{job="flyball"})',
        wait="1m",
        severity="page",
        summary="The gateway does not answer {{ $labels.instance }}",
        description="Prometheus cannot read /metrics of the gateway.",
        firing={"up{job='flyball',instance='a'}": "0x30"},
        quiet=_UP,
    ),
    Alert(
        name="FlyballControlSilent",
        expr='up{job="flyball"} == 1 unless on (instance) flyball_disk_free_bytes',
        wait="2m",
        severity="ticket",
        summary="Control on {{ $labels.instance }} is silent",
        description="Gateways go on with the last routes; no rollout, no monitor and no restart of an engine happens.",
        firing=_UP,
        quiet={**_UP, "flyball_disk_free_bytes{job='flyball',instance='a'}": "5x30"},
    ),
    Alert(
        name="FlyballRecordsLost",
        expr="sum by (instance, kind) (increase(flyball_gateway_recording_failures_total[15m])) > 0 "
        "or max by (instance) (flyball_gateway_recording_failing) == 1",
        wait="0s",
        severity="page",
        summary="Records of requests cannot be written on {{ $labels.instance }}",
        description="A record that is not written is missing in lineage, erasure and cost. Look at the disk first.",
        firing={"flyball_gateway_recording_failing{instance='a',worker='0'}": "1x30"},
        quiet={"flyball_gateway_recording_failing{instance='a',worker='0'}": "0x30"},
    ),
    Alert(
        name="FlyballLedgerBehind",
        expr="flyball_segments_waiting_bytes > 64e6 or flyball_segments_oldest_seconds > 600",
        wait="5m",
        severity="ticket",
        summary="Records wait for the ledger on {{ $labels.instance }}",
        description="They are sealed on disk and not lost; monitors, costs and pages are behind by them.",
        firing={"flyball_segments_waiting_bytes{instance='a'}": "1e8x30"},
        quiet={"flyball_segments_waiting_bytes{instance='a'}": "1e5x30"},
    ),
    Alert(
        name="FlyballInternalErrors",
        expr="sum by (instance) (increase(flyball_gateway_internal_errors_total[15m])) > 0",
        wait="0s",
        severity="ticket",
        summary="Requests ended in a bug of Flyball on {{ $labels.instance }}",
        description="The gateway's log names the file and line.",
        firing={"flyball_gateway_internal_errors_total{instance='a',worker='0'}": "0x10 0+1x20"},
        quiet={"flyball_gateway_internal_errors_total{instance='a',worker='0'}": "3x30"},
    ),
    Alert(
        name="FlyballEngineNotReady",
        expr="flyball_engine_ready == 0",
        wait="5m",
        severity="ticket",
        summary="An engine of {{ $labels.release }} does not answer",
        description="Control restarts it; its log says why it does not come up.",
        firing={"flyball_engine_ready{release='r',engine='e'}": "0x30"},
        quiet={"flyball_engine_ready{release='r',engine='e'}": "1x30"},
    ),
    Alert(
        name="FlyballQueueLong",
        expr="histogram_quantile(0.95, sum by (le, route) (rate(flyball_gateway_queue_seconds_bucket[5m]))) > 2",
        wait="5m",
        severity="ticket",
        summary="{{ $labels.route }}: one in twenty requests waits {{ $value | humanizeDuration }} for an engine",
        description="Add slots or replicas, or limit who sends so much.",
        firing={
            "flyball_gateway_queue_seconds_bucket{route='shop',le='2.5'}": "0+10x30",
            "flyball_gateway_queue_seconds_bucket{route='shop',le='5.0'}": "0+60x30",
            "flyball_gateway_queue_seconds_bucket{route='shop',le='+Inf'}": "0+60x30",
        },
        quiet={
            "flyball_gateway_queue_seconds_bucket{route='shop',le='0.1'}": "0+60x30",
            "flyball_gateway_queue_seconds_bucket{route='shop',le='+Inf'}": "0+60x30",
        },
    ),
    Alert(
        name="FlyballEndpointPutAside",
        expr="sum by (endpoint) (increase(flyball_gateway_ejections_total[15m])) > 2",
        wait="0s",
        severity="ticket",
        summary="{{ $labels.endpoint }} is put aside again and again",
        description="Connections to it fail; others answer where there are others.",
        firing={"flyball_gateway_ejections_total{endpoint='e',worker='0'}": "0+1x30"},
        quiet={"flyball_gateway_ejections_total{endpoint='e',worker='0'}": "4x30"},
    ),
    Alert(
        name="FlyballFinding",
        expr='(flyball_findings_total{severity!="info"} '
        'unless flyball_findings_total{severity!="info"} offset 15m) > 0 '
        'or flyball_findings_total{severity!="info"} - flyball_findings_total{severity!="info"} offset 15m > 0',
        wait="0s",
        severity="ticket",
        summary="Monitoring found {{ $labels.kind }} on {{ $labels.route }}",
        description="`flyball watch` says what changed, how sure, with examples.",
        firing={"flyball_findings_total{route='shop',kind='drift',severity='warning'}": "_x15 1x15"},
        quiet={"flyball_findings_total{route='shop',kind='drift',severity='warning'}": "1x30"},
    ),
    Alert(
        name="FlyballRolloutPaused",
        expr='flyball_deployment_state{state="paused"} == 1',
        wait="15m",
        severity="ticket",
        summary="A rollout on {{ $labels.route }} waits for a person",
        description="`flyball status` says what it lacks; promote, resume or roll back.",
        firing={"flyball_deployment_state{route='shop',release='r',state='paused'}": "1x60"},
        quiet={"flyball_deployment_state{route='shop',release='r',state='live'}": "1x60"},
        at="30m",
    ),
    Alert(
        name="FlyballBudgetNearlySpent",
        expr="flyball_budget_spent_usd / flyball_budget_limit_usd > 0.8",
        wait="0s",
        severity="ticket",
        summary="{{ $labels.name }} has spent {{ $value | humanizePercentage }} of its budget",
        description="What would go over a budget is refused with 429.",
        firing={
            "flyball_budget_spent_usd{account='team:a',name='a'}": "9x30",
            "flyball_budget_limit_usd{account='team:a',name='a'}": "10x30",
        },
        quiet={
            "flyball_budget_spent_usd{account='team:a',name='a'}": "7x30",
            "flyball_budget_limit_usd{account='team:a',name='a'}": "10x30",
        },
    ),
    Alert(
        name="FlyballBudgetForecastOver",
        expr="flyball_budget_forecast_usd / flyball_budget_limit_usd > 1 "
        "and flyball_budget_spent_usd / flyball_budget_limit_usd > 0.1",
        wait="6h",
        severity="info",
        summary="At this pace {{ $labels.name }} spends {{ $value | humanizePercentage }} of its budget",
        description="`flyball cost` says on what.",
        firing={
            "flyball_budget_forecast_usd{account='team:a',name='a'}": "12x500",
            "flyball_budget_spent_usd{account='team:a',name='a'}": "2x500",
            "flyball_budget_limit_usd{account='team:a',name='a'}": "10x500",
        },
        quiet={
            "flyball_budget_forecast_usd{account='team:a',name='a'}": "9x500",
            "flyball_budget_spent_usd{account='team:a',name='a'}": "2x500",
            "flyball_budget_limit_usd{account='team:a',name='a'}": "10x500",
        },
        at="7h",
    ),
    Alert(
        name="FlyballDiskFull",
        expr="flyball_disk_free_bytes / flyball_disk_size_bytes < 0.05 "
        "or predict_linear(flyball_disk_free_bytes[1h], 4 * 3600) < 0",
        wait="5m",
        severity="page",
        summary="The disk of {{ $labels.instance }} is nearly full",
        description="A full disk loses records. `flyball models gc` and shorter retention free space.",
        firing={
            "flyball_disk_free_bytes{instance='a'}": "1e9x90",
            "flyball_disk_size_bytes{instance='a'}": "1e11x90",
        },
        quiet={
            "flyball_disk_free_bytes{instance='a'}": "5e10x90",
            "flyball_disk_size_bytes{instance='a'}": "1e11x90",
        },
        at="80m",
    ),
    Alert(
        name="FlyballKeysStale",
        expr="max by (instance) (flyball_gateway_keys_from_file) == 1",
        wait="5m",
        severity="ticket",
        summary="Keys on {{ $labels.instance }} come from the sealed file",
        description="The ledger does not answer: new and revoked keys are unknown; budgets hold as far as leased.",
        firing={"flyball_gateway_keys_from_file{instance='a',worker='0'}": "1x30"},
        quiet={"flyball_gateway_keys_from_file{instance='a',worker='0'}": "0x30"},
    ),
]
