"""Kills processes of `flyball up` under load and counts what was lost. Prints one JSON object as its last line.

    python bench/crashes.py [--rate 500] [--kills 50] [--seed 1] [--ledger postgresql://…]

Open loop against a real project: a tiny model in two real engines, two gateway workers, ingester, control; plain
answers and streams, feedback on a third of them, keys with a budget, a rate and a concurrency limit. Workers, engines,
ingester and control are killed with SIGKILL at random times. What the clients' own journal holds as acknowledged (last
byte of an answer received, 2xx for feedback) must be in the ledger, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import func, select

from flyball.cost.prices import request_usd
from flyball.security.principals import Principal, create_key
from flyball.storage import tables
from flyball.wiring import Project
from killing import Killer
from mixed_load import Journal, Mix, MixedLoad
from open_loop import Client, offer
from served import Served, add_release, flyball, make_project

WORKERS = REPLICAS = 2
LARGEST_TOKENS = (80, 2)
"""More prompt and completion tokens than any request here is estimated at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500.0, help="requests per second")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--every", type=float, default=1.5, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", help="a PostgreSQL URL; default: SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flyball-crashes-") as folder:
        found = run(Path(folder) / "shop", options)
    print(json.dumps(found))


def run(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Serve, load, kill, and count."""
    project = make_project(
        root,
        ledger_url=options.ledger,
        gateway={"workers": WORKERS, "drain_s": 5.0},
        serving={"replicas": REPLICAS, "liveness_s": 0.5},
    )
    release = add_release(project, "be brief")
    seconds = options.kills * options.every
    keys = make_keys(project, asks=options.rate * seconds)
    with Served(project) as served:
        served.go_live(release)
        compiled = served.compiled
        killer = Killer(served, random.Random(options.seed))
        began = time.monotonic()
        journal = uvloop.run(drive(served, killer, [secret for _, secret in keys.values()], options))
        seconds = time.monotonic() - began
        waited = wait_for_records(project, journal)
    report = {"compiled": compiled} | counted(project, journal, killer)
    report |= {
        "seconds": round(seconds, 1),
        "rate": round(journal.sent / seconds, 1),
        "records_complete_after_s": waited,
        "budget": budget(project, keys["budget"][0], journal.most_in_flight[keys["budget"][1]]),
        "consistent": consistent(project),
    }
    project.close()
    return report


def make_keys(project: Project, *, asks: float) -> dict[str, tuple[Principal, str]]:
    """Four callers, each asking a quarter: one without limits, and one that meets each limit half-way."""
    usual = request_usd(project.settings.cost, prompt_tokens=30, completion_tokens=2)
    limits: dict[str, dict[str, Any]] = {
        "free": {},
        "budget": {"budget_usd": round(asks / 4 * usual / 2, 6)},
        "rate": {"requests_per_minute": max(60, int(asks / 8))},
        "concurrency": {"concurrency": 4},
    }
    return {name: create_key(project.ledger, name=name, **limit) for name, limit in limits.items()}


async def drive(served: Served, killer: Killer, keys: list[str], options: argparse.Namespace) -> Journal:
    """Load until enough has been killed, then let what is in flight end."""
    client = Client(served.port)
    load = MixedLoad(client, keys=keys, mix=Mix(), seed=options.seed)
    done = asyncio.Event()
    killing = asyncio.create_task(kill_on(killer, options, done))
    await offer(options.rate, over=done.is_set, make=load.send_one, chance=random.Random(options.seed))
    await killing
    await client.drained(60)
    client.close()
    return load.journal


async def kill_on(killer: Killer, options: argparse.Namespace, done: asyncio.Event) -> None:
    """Kill at random times; afterwards load goes on for a moment, so that the last victim's return is seen too."""
    await asyncio.sleep(2.0)
    while len(killer.kills) < options.kills:
        await asyncio.sleep(killer.chance.uniform(0.2, 2 * options.every - 0.2))
        if (kill := killer.kill_one()) is not None:
            print(f"{len(killer.kills):3d} {kill.at_s:.2f} {kill.name} {kill.pid}", file=sys.stderr, flush=True)
    await asyncio.sleep(3.0)
    done.set()


def wait_for_records(project: Project, journal: Journal) -> float | None:
    """Seconds until all that was acknowledged is in the ledger; None when nothing more comes."""
    began = moved = time.monotonic()
    missing = lost(project, journal)
    while any(missing.values()):
        if time.monotonic() - moved > 20:
            return None
        time.sleep(0.5)
        now = lost(project, journal)
        moved, missing = (time.monotonic() if now != missing else moved), now
    return round(time.monotonic() - began, 1)


def lost(project: Project, journal: Journal) -> dict[str, int]:
    """How many acknowledged answers and feedbacks the ledger does not have."""
    with project.ledger.read() as connection:
        requests = set(connection.execute(select(tables.requests.c.id)).scalars())
        feedback = set(connection.execute(select(tables.feedback.c.id)).scalars())
        payloads = set(connection.execute(select(tables.payloads.c.id)).scalars())
    return {
        "requests": len(set(journal.answered) - (requests & payloads)),
        "feedback": len(set(journal.praised) - (feedback & payloads)),
    }


def doubled(project: Project) -> int:
    """Requests that were recorded twice: every request of a client had a name of its own. Feedback likewise."""
    twice = 0
    with project.ledger.read() as connection:
        for column in (tables.requests.c.client_id, tables.feedback.c.request):
            query = select(func.count(column)).group_by(column).having(func.count(column) > 1)
            twice += sum(count - 1 for count in connection.execute(query).scalars())
    return twice


def counted(project: Project, journal: Journal, killer: Killer) -> dict[str, Any]:
    """What the journal and the ledger say together."""
    missing = lost(project, journal)
    failed = journal.before_first_byte
    theirs = [one for one in failed if killer.took_down(one.port, one.connected_s, one.end_s)]
    others = [one for one in failed if one not in theirs]
    seconds = Counter(f"{one.sent_s:.0f} {one.failure} {one.status} {one.body[:120]!r}" for one in others)
    for line, count in sorted(seconds.items()):
        print(f"failed: {count} × {line}", file=sys.stderr)
    if others:  # the project's folder is gone afterwards
        print((project.root / "up.log").read_text()[-20_000:], file=sys.stderr)
    return {
        "killed": killer.counts() | {"all": len(killer.kills)},
        "requests": journal.sent,
        "acknowledged": len(journal.answered) + len(journal.praised),
        "lost": sum(missing.values()),
        "duplicated": doubled(project),
        "failed_before_first_byte": {"in_killed_worker": len(theirs), "other": len(others)},
        "cut_after_first_byte": sum(one.failure == "cut" for one in journal.failed),
        "outcomes": dict(sorted(journal.statuses.items())),
        "other_failures": dict(Counter(f"{one.ask.kind} {one.failure or one.status}" for one in others)),
    }


def budget(project: Project, principal: Principal, in_flight: int) -> dict[str, float]:
    """What a key with a budget has spent by its records. It may overrun its limit by the estimates in flight at most.

    So many of its requests were under way at once, each estimated at no more than LARGEST_TOKENS.
    """
    column = tables.requests.c
    with project.ledger.read() as connection:
        query = select(func.sum(column.cost_usd)).where(column.key_id == principal.id)
        spent = float(connection.execute(query).scalar_one() or 0.0)
    limit, (prompt, completion) = principal.budget_usd or 0.0, LARGEST_TOKENS
    largest = request_usd(project.settings.cost, prompt_tokens=prompt, completion_tokens=completion)
    bound = limit + in_flight * largest
    return {"limit": limit, "spent": round(spent, 9), "bound": round(bound, 9), "in_flight": in_flight}


def consistent(project: Project) -> dict[str, bool]:
    """What `flyball doctor` says of key, ledger, audit log and models afterwards."""
    rows = [json.loads(line) for line in flyball(project, "doctor").stdout.splitlines()]
    return {row["check"]: row["ok"] for row in rows if row["check"] in ("project key", "ledger", "audit log", "models")}


if __name__ == "__main__":
    main()
