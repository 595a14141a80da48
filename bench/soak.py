"""Mixed load for minutes: memory, descriptors, threads and disk stay flat. Prints one JSON object as its last line.

    python bench/soak.py [--minutes 30] [--rate 100]

`flyball up` with two gateway workers and a real engine serves plain answers, streams, aborts, bad requests and
feedback, while releases are deployed and rolled back. Every process is measured all the while; after a warm-up a line
is fitted to each measure. What grows by more than its tolerance, or is beyond its bound, is named and ends with 1.
The ledger's own file grows with what is recorded, which retention bounds; what it takes per request is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop
from sqlalchemy import func, select

from crashes import lost
from flyball.errors import FlyballError
from flyball.rollout.deployments import rollback
from flyball.security.principals import create_key
from flyball.storage import tables
from flyball.wiring import Project
from mixed_load import Journal, Mix, MixedLoad
from open_loop import Client, offer
from served import NAME, Served, add_release, make_project, until

SAMPLE_S = 1.0
WARM_UP = 0.3
"""Share of the run in which caches fill and allocators find their size."""
MB = 1_000_000
BOUNDS = {
    "gateway pss_mb": 100.0,
    "ingester pss_mb": 120.0,
    "control pss_mb": 120.0,
    "console pss_mb": 120.0,
    "supervisor pss_mb": 80.0,
    "engine pss_mb": 300.0,
    "gateway fds": 400.0,
    "gateway threads": 12.0,
    "disk segments_mb": 64.0,
    "disk logs_mb": 50.0,
    "disk wal_mb": 64.0,
}
"""The most that a measure of a role may ever be; others are held to their growth alone."""
GROWTH = {"pss_mb": (6.0, 0.12), "fds": (12.0, 0.1), "threads": (2.0, 0.0), "_mb": (20.0, 0.0)}
"""By the measure's end: what the fitted line may rise by over the run, absolute and as a share of the mean."""


@dataclass
class Samples:
    """Measures over time: (seconds since the start, value) by (process, measure)."""

    rows: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, at_s: float, name: str, **measures: float) -> None:
        for measure, value in measures.items():
            self.rows[name, measure].append((at_s, value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flyball-soak-") as folder:
        report = run(Path(folder) / "shop", options)
    table = report.pop("table")
    print(f"{'process':28s} {'measure':12s} {'first':>9s} {'last':>9s} {'most':>9s} {'growth':>9s} {'allowed':>9s}")
    for row in table:
        print(
            "{process:28s} {measure:12s} {first:9.1f} {last:9.1f} {most:9.1f} {growth:9.2f} {allowed:9.2f}".format(
                **row
            )
        )
    print(json.dumps(report))
    sys.exit(1 if report["beyond"] or report["lost"] else 0)


def run(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Serve, load and measure for as long as asked."""
    seconds, samples = options.minutes * 60, Samples()
    project = make_project(root, gateway={"workers": 2}, rollout={"scale_down_delay_s": between(seconds)})
    blue, green = (add_release(project, name) for name in ("blue", "green"))
    _, secret = create_key(project.ledger, name="soak", requests_per_minute=10_000_000, budget_usd=1_000.0)
    with Served(project) as served:
        served.go_live(blue)
        compiled = served.compiled
        before = ledger_bytes(project)
        journal, switches = uvloop.run(soak(served, secret, green, samples, seconds, options))
        until(lambda: not any(lost(project, journal).values()), what="all records are in the ledger", timeout_s=60)
    with project.ledger.read() as connection:
        recorded = connection.execute(select(func.count()).select_from(tables.requests)).scalar_one()
    table = [row for key in sorted(samples.rows) if (row := judged(key, samples.rows[key], seconds))]
    report = {
        "compiled": compiled,
        "minutes": round(seconds / 60, 2),
        "requests": journal.sent,
        "acknowledged": len(journal.answered) + len(journal.praised),
        "lost": sum(lost(project, journal).values()),
        "failed_before_first_byte": len(journal.before_first_byte),
        "switches_and_rollbacks": switches,
        "ledger_bytes_per_request": round((ledger_bytes(project) - before) / max(1, recorded)),
        "outcomes": dict(sorted(journal.statuses.items())),
        "beyond": [f"{row['process']} {row['measure']}" for row in table if not row["ok"]],
        "most": {f"{row['process']} {row['measure']}": row["most"] for row in table},
        "table": table,
    }
    project.close()
    return report


async def soak(
    served: Served, secret: str, green: str, samples: Samples, seconds: float, options: argparse.Namespace
) -> tuple[Journal, int]:
    """Load, switches and samples side by side until the time is over."""
    began = time.monotonic()

    def over() -> bool:
        return time.monotonic() - began > seconds

    client = Client(served.port)
    mix = Mix(streams=0.3, aborts=0.05, bad=0.05, feedback=0.2)
    load = MixedLoad(client, keys=[secret], mix=mix, seed=options.seed)
    loading = asyncio.create_task(
        offer(options.rate, over=over, make=load.send_one, chance=random.Random(options.seed))
    )
    switching = asyncio.create_task(switch_now_and_then(served, green, seconds, began))
    while not over():
        await asyncio.sleep(SAMPLE_S)
        await asyncio.to_thread(sample, served, samples, time.monotonic() - began)
        client.sweep()
    await loading
    switches = await switching
    await client.drained(30)
    client.close()
    return load.journal, switches


def between(seconds: float) -> float:
    """Seconds between two deployments: about ten a run, at most four a minute; the old release stays hot as long."""
    return max(seconds / 10, 15.0)


async def switch_now_and_then(served: Served, green: str, seconds: float, began: float) -> int:
    """Deploy and roll back, never in the last tenth of the run."""
    every_s, done = between(seconds), 0
    while time.monotonic() - began + every_s < 0.9 * seconds:
        await asyncio.sleep(every_s)
        try:
            await asyncio.to_thread(served.deploy, green)
            await asyncio.sleep(every_s / 2)
            await asyncio.to_thread(back, served)
        except FlyballError as error:
            print(f"a switch was refused: {error}", file=sys.stderr)
        else:
            done += 2
    return done


def back(served: Served) -> None:
    rollback(served.project.ledger, NAME, requested_by="local", reason="the soak")


def sample(served: Served, samples: Samples, at_s: float) -> None:
    """Measure every process and the disk now."""
    for name, pid in processes(served):
        try:
            process = psutil.Process(pid)
            pss = process.memory_full_info().pss / MB
            samples.add(at_s, name, pss_mb=pss, fds=process.num_fds(), threads=process.num_threads())
        except psutil.Error:
            continue  # it has just ended
    state = served.project.places.state
    wal = state / "ledger.db-wal"
    samples.add(
        at_s,
        "disk",
        segments_mb=size(served.project.places.segments) / MB,
        logs_mb=size(served.project.places.logs) / MB,
        wal_mb=(wal.stat().st_size if wal.exists() else 0) / MB,
    )


def processes(served: Served) -> Iterator[tuple[str, int]]:
    note = served.note
    yield "supervisor", note.pid
    yield from note.processes.items()
    for engine in served.engines():
        yield f"engine {engine.id[-6:]}", engine.pid


def size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def ledger_bytes(project: Project) -> int:
    return (project.places.state / "ledger.db").stat().st_size


def judged(key: tuple[str, str], rows: list[tuple[float, float]], seconds: float) -> dict[str, Any] | None:
    """How a measure went after the warm-up; None for a process that lived through less than half of it."""
    name, measure = key
    warm = [(at, value) for at, value in rows if at > WARM_UP * seconds]
    if len(warm) < 5 or warm[-1][0] - warm[0][0] < 0.5 * (1 - WARM_UP) * seconds:
        return None
    times, values = zip(*warm, strict=True)
    growth = statistics.linear_regression(times, values).slope * (times[-1] - times[0])
    absolute, share = next(limit for end, limit in GROWTH.items() if measure.endswith(end))
    allowed, most = absolute + share * statistics.fmean(values), max(values)
    bound = BOUNDS.get(f"{name.split(' ')[0].split('-')[0]} {measure}")
    return {
        "process": name,
        "measure": measure,
        "first": round(values[0], 2),
        "last": round(values[-1], 2),
        "most": round(most, 2),
        "growth": round(growth, 2),
        "allowed": round(allowed, 2),
        "ok": growth <= allowed and (bound is None or most <= bound),
    }


if __name__ == "__main__":
    main()
