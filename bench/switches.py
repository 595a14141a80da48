"""Switches and rollbacks under load, and what becomes of bad candidates. Prints one JSON object as its last line.

    python bench/switches.py [--switches 100] [--rate 150] [--candidates all|none|NAME,NAME]

Part one: blue-green switches of real engines and as many rollbacks, by `flyball up` with two gateway workers, while
clients ask; from the stored transition to the first answer by the new release, and to the last request that a worker
still gave to the old one, per worker. Part two: a canary of each bad candidate (candidates.py) beside a live release,
both behind stand-ins whose answers a judge can tell right from wrong: what was decided, when, on how many answers.
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
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from candidates import CANDIDATES, Candidate
from flyball.rollout.deployments import rollback
from flyball.security.principals import create_key
from flyball.storage import traffic
from flyball.storage.deployments import history
from flyball.wiring import Project
from killing import client_ports
from open_loop import Ask, Client, Outcome, offer
from served import NAME, Served, add_release, make_project
from standin import RIGHT, StandIn

WORKERS = 2
RIGHT_SHARE, DELAY_S = 0.9, 0.02
ENDED = ("live", "paused", "rolled_back", "failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=100, help="and as many rollbacks")
    parser.add_argument("--rate", type=float, default=150.0, help="requests per second")
    parser.add_argument("--candidates", default="all", help=f"all, none or some of: {', '.join(CANDIDATES)}")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = {"all": list(CANDIDATES), "none": []}.get(options.candidates, options.candidates.split(","))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="flyball-switches-") as folder:
        if options.switches:
            found["switches"] = switching(Path(folder) / "switching", options)
        if names:
            found["candidates"] = judging(Path(folder) / "judging", names, options)
    print(json.dumps(found))


# part one ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Switch:
    """One change of what is live: decided when (wall clock), to which release."""

    decided_s: float
    release: str
    kind: str


@dataclass
class Seen:
    """Every answer in order, and which worker each client port belongs to."""

    answers: list[Outcome] = field(default_factory=list)
    workers: dict[int, str] = field(default_factory=dict)

    def note_workers(self, served: Served) -> None:
        for name, pid in served.note.processes.items():
            if name.startswith("gateway"):
                self.workers |= dict.fromkeys(client_ports(pid, served.port), name)


def switching(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Switch there and back under load, as often as asked."""
    project = make_project(
        root,
        gateway={"workers": WORKERS},
        rollout={"scale_down_delay_s": 600.0},
    )
    releases = [add_release(project, name) for name in ("blue", "green")]
    with Served(project) as served:
        served.go_live(releases[0])
        compiled = served.compiled
        seen, switches = uvloop.run(switch_on(served, releases[1], releases[0], options))
    project.close()
    ends = [*(one.decided_s for one in switches[1:]), time.time()]
    effects = [one for switch, end_s in zip(switches, ends, strict=True) for one in effects_of(switch, end_s, seen)]
    return {
        "compiled": compiled,
        "switches": sum(one.kind == "switch" for one in switches),
        "rollbacks": sum(one.kind == "rollback" for one in switches),
        "requests": len(seen.answers),
        "failed": sum(not one.acknowledged for one in seen.answers),
        "failures": sorted({f"{one.failure} {one.status}" for one in seen.answers if not one.acknowledged}),
        "effect_ms": {
            kind: {
                "first_by_new": spread([one["first"] for one in effects if one["kind"] == kind]),
                "last_to_old": spread([one["last"] for one in effects if one["kind"] == kind]),
            }
            for kind in ("switch", "rollback")
        },
    }


async def switch_on(served: Served, green: str, blue: str, options: argparse.Namespace) -> tuple[Seen, list[Switch]]:
    """Load all the while; the switches one after the other."""
    client, seen, over = Client(served.port, spread=True), Seen(), asyncio.Event()
    await client.open(8 * WORKERS)  # so that every worker is seen
    body = json.dumps({"model": NAME, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}).encode()

    def send() -> None:
        client.send(Ask(len(seen.answers), "plain", "/v1/chat/completions", body), seen.answers.append)

    loading = asyncio.create_task(offer(options.rate, over=over.is_set, make=send, chance=random.Random(options.seed)))
    switches = []
    for number in range(options.switches):
        deployment = await asyncio.to_thread(served.deploy, green)
        decided = await until_state(served, deployment.id, "live")
        switches.append(Switch(decided, green, "switch"))
        await settled(served, seen, green)
        await asyncio.to_thread(back, served)
        decided = await until_state(served, deployment.id, "rolled_back")
        switches.append(Switch(decided, blue, "rollback"))
        await settled(served, seen, blue)
        print(f"{number + 1}/{options.switches}", end="\r", file=sys.stderr, flush=True)
    over.set()
    await loading
    await client.drained(30)
    client.close()
    return seen, switches


def back(served: Served) -> None:
    """What `flyball rollback` does."""
    rollback(served.project.ledger, NAME, requested_by="local", reason="a benchmark")


async def until_state(served: Served, deployment: str, state: str) -> float:
    """When (wall clock, seconds) the deployment's transition into this state was stored."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        steps = await asyncio.to_thread(history, served.project.ledger, deployment)
        for transition, at_ms in steps:
            if transition.state == state:
                return at_ms / 1000
            if transition.state in ("failed", "rolled_back"):
                raise RuntimeError(f"{transition.state}: {transition.evidence}")
        await asyncio.sleep(0.02)
    raise TimeoutError(f"deployment {deployment} never was {state}")


async def settled(served: Served, seen: Seen, release: str) -> None:
    """Wait until only this release has answered for a while; note whose connections are whose meanwhile."""
    while True:
        before = len(seen.answers)
        await asyncio.sleep(0.3)
        fresh = seen.answers[before:]
        if len(fresh) > 5 and all(one.headers.get("x-flyball-release") == release for one in fresh):
            seen.note_workers(served)
            return


def effects_of(switch: Switch, end_s: float, seen: Seen) -> list[dict[str, Any]]:
    """Per worker, milliseconds from the decision to its first answer by the new release, and to the last request that
    it still gave to another (0 when it gave none), before the next decision."""
    effects = []
    for worker in sorted(set(seen.workers.values())):
        mine = [one for one in seen.answers if seen.workers.get(one.port) == worker and one.acknowledged]
        after = [one for one in mine if switch.decided_s <= one.wall_s < end_s - 0.05]
        ends = [one.wall_s + one.end_s - one.sent_s for one in after if released(one) == switch.release]
        sent = [one.wall_s for one in after if released(one) != switch.release]
        if ends:
            first, last = min(ends) - switch.decided_s, max(sent, default=switch.decided_s) - switch.decided_s
            effects.append({"kind": switch.kind, "first": first * 1000, "last": max(0.0, last) * 1000})
    return effects


def released(outcome: Outcome) -> str:
    return outcome.headers.get("x-flyball-release", "")


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum in milliseconds, and of how many."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    numbers = {"p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {"n": len(ordered), **{name: round(value, 1) for name, value in numbers.items()}}


# part two ----------------------------------------------------------------------------------------------------------


def judging(root: Path, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """A canary of each candidate in turn, beside the same live release."""
    project = make_project(
        root,
        gateway={"workers": WORKERS, "first_token_timeout_s": 1.0, "total_timeout_s": 2.0},
        rollout={
            "canary_steps": [0.1, 0.5],
            "judge_share": 1.0,
            "judge_after_s": 1.0,
            "judge_within_s": 2.0,
            "deadline_s": 90.0,
            "ready_timeout_s": 8.0,
            "scale_down_delay_s": 600.0,
        },
    )
    _, secret = create_key(project.ledger, name="judge", role="admin")
    found = {}
    with ExitStack() as stack:
        live = stack.enter_context(StandIn(right=RIGHT_SHARE, delay_s=DELAY_S))
        served = stack.enter_context(Served(project))
        served.go_live(add_release(project, "live", url=live.url, slots=64))
        for name in names:
            with ExitStack() as theirs:
                candidate = CANDIDATES[name](project, theirs, right=RIGHT_SHARE, delay_s=DELAY_S)
                found[name] = uvloop.run(try_out(served, candidate, secret, options))
            print(f"{name:20s} {found[name]}", file=sys.stderr, flush=True)
    project.close()
    return found


async def try_out(served: Served, candidate: Candidate, secret: str, options: argparse.Namespace) -> dict[str, Any]:
    """Deploy one candidate under load and see what becomes of it."""
    load = Judged(Client(served.port), secret, random.Random(options.seed))
    over = asyncio.Event()
    loading = asyncio.create_task(offer(options.rate, over=over.is_set, make=load.send_one, chance=load.chance))
    await asyncio.sleep(1.0)
    began = time.monotonic()
    deployment = await asyncio.to_thread(lambda: served.deploy(candidate.release, strategy="canary"))
    steps, exposed = await asyncio.to_thread(history, served.project.ledger, deployment.id), False
    while not (steps and steps[-1][0].state in ENDED) and time.monotonic() - began < 150:
        if not exposed and any(step.state == "ramping" for step, _ in steps):
            exposed = True
            candidate.began()
        if exposed:
            candidate.tick(served)
        await asyncio.sleep(0.1)
        steps = await asyncio.to_thread(history, served.project.ledger, deployment.id)
    await asyncio.sleep(1.5)  # requests that were under way end, and are recorded
    over.set()
    await loading
    await load.client.drained(30)
    load.client.close()
    await asyncio.to_thread(leave, served, steps[-1][0].state)
    return outcome_of(served.project, candidate, steps, load)


def leave(served: Served, state: str) -> None:
    """Take a candidate off the route that still is on it."""
    if state in ("live", "paused", "ramping", "starting"):
        back(served)
        time.sleep(1.0)


def outcome_of(project: Project, candidate: Candidate, steps: list[Any], load: Judged) -> dict[str, Any]:
    """What was decided, how long after the candidate's first request, and how many answers it had given by then."""
    last, ended_ms = steps[-1]
    first = next((at for step, at in steps if step.state in ("ramping", "live")), steps[0][1])
    requests = [one.record for one in traffic.requests_since(project.ledger, release=candidate.release, limit=100_000)]
    answered = [one for one in requests if one.answered_by is None and one.outcome in ("ok", "cut")]
    return {
        "outcome": last.state,
        "expected": last.state in candidate.expected,
        "reason": str(last.evidence.get("reason", ""))[:160],
        "seconds": round((ended_ms - first) / 1000, 1),
        "assigned": len(requests),
        "answered": len(answered),
        "requests": load.sent,
        "failed_for_clients": len(load.failures),
        "failures": load.failures[:20],
    }


@dataclass
class Judged:
    """Load whose every whole answer is judged at once, by an administrator's key."""

    client: Client
    secret: str
    chance: random.Random
    sent: int = 0
    failures: list[str] = field(default_factory=list)

    def send_one(self) -> None:
        """One question of somebody who has not asked before."""
        self.sent += 1
        body = {
            "model": NAME,
            "user": f"user-{self.chance.getrandbits(48)}",
            "messages": [{"role": "user", "content": "is it so?"}],
            "stream": self.sent % 2 == 0,
        }
        self._send("ask", "/v1/chat/completions", json.dumps(body).encode())

    def _send(self, kind: str, path: str, body: bytes) -> None:
        headers = (("authorization", f"Bearer {self.secret}"),)
        self.client.send(Ask(self.sent, kind, path, body, headers), self._told)

    def _told(self, outcome: Outcome) -> None:
        if not outcome.acknowledged:
            if outcome.ask.kind == "ask":
                took_s = outcome.end_s - outcome.sent_s
                self.failures.append(
                    f"{outcome.failure or outcome.status} after {took_s:.2f} s: {outcome.body[:200]!r}"
                )
        elif outcome.ask.kind == "ask":
            right = f'"content": "{RIGHT}"'.encode() in outcome.body
            verdict = {"request_id": outcome.headers["x-flyball-request-id"], "judge": "key", "score": int(right)}
            self._send("verdict", "/v1/feedback", json.dumps(verdict).encode())


if __name__ == "__main__":
    main()
