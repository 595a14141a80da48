"""Numbers of this host beside those of its gateway, as one page of Prometheus text. I/O: /proc, ledger, one small file.

A gateway worker adds the page to its own `/metrics`: one target tells all about a host. What the ledger knows is told
by the control process with the lease alone, so that a sum over hosts counts nothing twice.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
from sqlalchemy import select

from flyball.control.cluster_state import ClusterState
from flyball.control.context import ControlContext
from flyball.control.finding_counts import FindingCounts
from flyball.cost.budgets import budget_states, declared_budgets
from flyball.errors import FlyballError
from flyball.records.identity import short
from flyball.serving.engine_processes import EngineHandle, running_engines
from flyball.storage import tables
from flyball.supervision.run_file import read_note
from flyball.telemetry import sample_line
from flyball.whole_files import replace_file

EVERY_S = 5.0
PAGE = "control.prom"
FOLDER = "metrics"
LARGEST_HEADER = 4096
"""Bytes: a segment of no more may hold no record yet."""
Row = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, type, description and the names of its labels."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


CPU = Family("flyball_process_cpu_seconds_total", "counter", "CPU time of a process of Flyball.", ("process",))
MEMORY = Family(
    "flyball_process_resident_memory_bytes", "gauge", "Resident memory of a process of Flyball.", ("process",)
)
DISK_FREE = Family("flyball_disk_free_bytes", "gauge", "Free space where the project keeps its state.")
DISK_SIZE = Family("flyball_disk_size_bytes", "gauge", "Size of the disk where the project keeps its state.")
SEGMENT_BYTES = Family("flyball_segments_waiting_bytes", "gauge", "Records that wait for the ledger, in segments.")
SEGMENT_AGE = Family(
    "flyball_segments_oldest_seconds",
    "gauge",
    "Time since the last write to the oldest segment that waits for the ledger.",
)
ENGINE_READY = Family("flyball_engine_ready", "gauge", "1 for an engine that answers, else 0.", ("release", "engine"))
ENGINE_REQUESTS = Family(
    "flyball_engine_requests", "gauge", "Requests inside an engine.", ("release", "engine", "state")
)
ENGINE_CACHE = Family(
    "flyball_engine_cache_ratio", "gauge", "Part of an engine's cache that is in use.", ("release", "engine")
)
DEPLOYMENTS = Family(
    "flyball_deployment_state", "gauge", "1 for the state that a deployment is in.", ("route", "release", "state")
)
FINDINGS = Family(
    "flyball_findings_total",
    "counter",
    "Findings since the ledger began.",
    ("route", "kind", "severity"),
)
BUDGET_LIMIT = Family("flyball_budget_limit_usd", "gauge", "Limit of a budget of this month.", ("account", "name"))
BUDGET_SPENT = Family("flyball_budget_spent_usd", "gauge", "What of a budget is spent.", ("account", "name"))
BUDGET_FORECAST = Family(
    "flyball_budget_forecast_usd", "gauge", "What the month would come to at this pace.", ("account", "name")
)
FAMILIES = (
    CPU,
    MEMORY,
    DISK_FREE,
    DISK_SIZE,
    SEGMENT_BYTES,
    SEGMENT_AGE,
    ENGINE_READY,
    ENGINE_REQUESTS,
    ENGINE_CACHE,
    DEPLOYMENTS,
    FINDINGS,
    BUDGET_LIMIT,
    BUDGET_SPENT,
    BUDGET_FORECAST,
)


def tell_metrics(context: ControlContext, world: ClusterState, counts: FindingCounts, *, leads: bool) -> None:
    """Write this host's page."""
    engines = running_engines(context.run_dir)
    rows = [*_process_rows(context, engines), *_host_rows(context), *_engine_rows(context, engines)]
    rows += _ledger_rows(context, world, counts) if leads else []
    replace_file(context.run_dir / FOLDER / PAGE, page(rows), durable=False)


def page(rows: Sequence[tuple[Family, Row]]) -> bytes:
    """Rows as Prometheus text, all of a family together."""
    out = []
    for family in FAMILIES:
        own = [row for found, row in rows if found is family]
        if own:
            out += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
            out += [sample_line(family.name, family.labels, values, value) for values, value in own]
    return ("\n".join(out) + "\n").encode()


def _process_rows(context: ControlContext, engines: Sequence[EngineHandle]) -> Iterator[tuple[Family, Row]]:
    note = read_note(context.run_dir)
    processes = {**note.processes, "supervisor": note.pid} if note else {}
    for engine in engines:
        processes |= {f"engine-{short(engine.release)}": pid for pid in engine.processes if pid}
    for name, pid in processes.items():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            used = process.cpu_times()
            yield CPU, ((name,), used.user + used.system)
            yield MEMORY, ((name,), float(process.memory_info().rss))


def _host_rows(context: ControlContext) -> Iterator[tuple[Family, Row]]:
    disk = shutil.disk_usage(context.run_dir)
    yield DISK_FREE, ((), float(disk.free))
    yield DISK_SIZE, ((), float(disk.total))
    waiting = list(_segments(context)) if context.segments_dir else []
    yield SEGMENT_BYTES, ((), float(sum(size for size, _ in waiting)))
    oldest = min((changed for size, changed in waiting if size > LARGEST_HEADER), default=time.time())
    yield SEGMENT_AGE, ((), max(0.0, time.time() - oldest))


def _segments(context: ControlContext) -> Iterator[tuple[int, float]]:
    """(bytes not yet in the ledger, last write) of each segment; all bytes while the ledger is away."""
    taken: dict[str, int] = {}
    with suppress(FlyballError), context.ledger.read() as connection:
        column = tables.segments.c
        query = select(column.id, column.offset).where(column.project == context.project)
        taken = {row.id: row.offset for row in connection.execute(query)}
    for path in sorted(context.segments_dir.glob("*.seg")) if context.segments_dir else ():
        with suppress(OSError):
            status = path.stat()
            yield max(0, status.st_size - taken.get(path.name, 0)), status.st_mtime


def _engine_rows(context: ControlContext, engines: Sequence[EngineHandle]) -> Iterator[tuple[Family, Row]]:
    for engine in engines:
        labels = (short(engine.release), engine.id[-6:])
        yield ENGINE_READY, (labels, float(engine.ready and not _is_silent(context, engine)))
        load = context.memory.engines.loads.get(engine.id)
        if load is not None:
            yield ENGINE_REQUESTS, ((*labels, "running"), float(load.running))
            yield ENGINE_REQUESTS, ((*labels, "waiting"), float(load.waiting))
            if load.cache_share is not None:
                yield ENGINE_CACHE, (labels, load.cache_share)


def _is_silent(context: ControlContext, engine: EngineHandle) -> bool:
    return context.memory.engines.silent.get(engine.id, 0) > 0


def _ledger_rows(context: ControlContext, world: ClusterState, counts: FindingCounts) -> Iterator[tuple[Family, Row]]:
    for one in world.standings:
        yield DEPLOYMENTS, ((one.deployment.route, short(one.deployment.release), one.state), 1.0)
    counts.read(context.ledger)
    yield from ((FINDINGS, row) for row in counts.counts.items())
    for budget in budget_states(context.ledger, declared_budgets(context.ledger), now_s=time.time()):
        labels = (budget.account, budget.name)
        yield BUDGET_LIMIT, (labels, budget.limit_usd)
        yield BUDGET_SPENT, (labels, budget.spent_usd)
        yield BUDGET_FORECAST, (labels, budget.forecast_usd)
