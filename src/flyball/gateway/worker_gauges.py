"""Numbers of a worker that are looked up when somebody asks: what it holds, what it waits for."""

from __future__ import annotations

from flyball import __version__
from flyball.gateway.http.server import HttpServer
from flyball.gateway.metrics import Gauge
from flyball.gateway.worker_state import WorkerState


def add_gauges(state: WorkerState, edge: HttpServer, *, compiled: bool) -> None:
    """Add them to the worker's numbers; `compiled`: whether what answers is machine code (setup.py)."""

    def queues() -> dict[tuple[str, ...], float]:
        return {(key,): float(queue.length) for key, queue in state.balancer.queues.items()}

    keeper, access = state.limits.keeper, state.access
    state.metrics.gauges += [
        Gauge(
            "flyball_gateway_build_info",
            "Always 1; the labels say which build answers.",
            lambda: {(__version__, "yes" if compiled else "no"): 1.0},
            ("version", "compiled"),
        ),
        Gauge(
            "flyball_gateway_keys_age_seconds",
            "Time since the ledger last said who may call.",
            lambda: {(): access.age_s},
        ),
        Gauge(
            "flyball_gateway_keys_from_file",
            "1 while the ledger is away and keys come from the sealed file.",
            lambda: {(): float(access.from_file)},
        ),
        Gauge(
            "flyball_gateway_limits_transactions_total",
            "Leases of limits and budgets from the ledger.",
            lambda: {("ok",): float(keeper.transactions - keeper.failures), ("failed",): float(keeper.failures)},
            ("result",),
            kind="counter",
        ),
        Gauge(
            "flyball_gateway_limits_waited_total",
            "Requests that had to wait for a lease.",
            lambda: {(): float(keeper.waited)},
            kind="counter",
        ),
        Gauge("flyball_gateway_in_flight", "Requests being answered.", lambda: {(): float(state.busy)}),
        Gauge("flyball_gateway_connections", "Open connections.", lambda: {(): float(len(edge.connections))}),
        Gauge("flyball_gateway_waiting", "Requests waiting for a slot.", queues, ("arm",)),
        Gauge(
            "flyball_gateway_bad_http_total",
            "Connections refused for malformed HTTP or too many at once.",
            lambda: {(): float(edge.refused)},
            kind="counter",
        ),
        Gauge(
            "flyball_gateway_recording_failing",
            "1 when the last record could not be written.",
            lambda: {(): float(state.writer.failed_at > 0)},
        ),
    ]
