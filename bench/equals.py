"""Canaries that equal the live release, on real engines under real load: how many are stopped. One JSON object last.

    python bench/equals.py [--runs 12] [--rate 150]

The simulation (rollout.py) draws its times; here they are measured, with what real ones bring along: engines that have
just started, two arms that are not equally loaded, neighbours in time that are slow together.
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

from flyball.security.principals import create_key
from flyball.storage.deployments import history
from open_loop import Client, Outcome, offer
from served import Served, add_release, make_project
from switches import ENDED, RIGHT_SHARE, Judged, leave

ROLLOUT: dict[str, Any] = {
    "canary_steps": [0.3, 0.5],
    "judge_share": 1.0,
    "judge_after_s": 1.0,
    "judge_within_s": 2.0,
    "deadline_s": 60.0,
    "scale_down_delay_s": 1.0,
}


class Content(Judged):
    """Whoever judges likes nine answers in ten, of whichever release."""

    def _told(self, outcome: Outcome) -> None:
        if not outcome.acknowledged:
            self.failed += outcome.ask.kind == "ask"
        elif outcome.ask.kind == "ask":
            score = int(self.chance.random() < RIGHT_SHARE)
            verdict = {"request_id": outcome.headers["x-flyball-request-id"], "judge": "key", "score": score}
            self._send("verdict", "/v1/feedback", json.dumps(verdict).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=150.0, help="requests per second, of as many people")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    p_latency: list[float] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="flyball-equals-") as folder:
        project = make_project(Path(folder) / "shop", rollout=ROLLOUT)
        _, secret = create_key(project.ledger, name="judge", role="admin")
        with Served(project) as served:
            served.go_live(add_release(project, "one of two"))
            for run in range(options.runs):
                release = add_release(project, f"equal {run}")
                last, took = uvloop.run(canary(served, release, secret, options.rate, options.seed + run))
                outcomes[last.state] += 1
                if last.state != "live":
                    reasons[str(last.evidence["reason"])] += 1
                p_latency.append(float(last.evidence.get("p_harm_latency", 1.0)))
                seconds.append(took)
                print(
                    f"{run + 1}/{options.runs} {last.state} {took:.1f} s {p_latency[-1]}", file=sys.stderr, flush=True
                )
        project.close()
    found = {"runs": options.runs, "outcomes": outcomes, "reasons": reasons}
    least = {"p_harm_latency": sorted(p_latency)[:5]}
    print(json.dumps({**found, **least, "seconds_p50": round(sorted(seconds)[len(seconds) // 2], 1)}))


async def canary(served: Served, release: str, secret: str, rate: float, seed: int) -> tuple[Any, float]:
    """One canary under load; its last transition, and how long it took."""
    load = Content(Client(served.port), secret, random.Random(seed))
    over = asyncio.Event()
    loading = asyncio.create_task(offer(rate, over=over.is_set, make=load.send_one, chance=load.chance))
    await asyncio.sleep(1.0)
    began = time.monotonic()
    deployment = await asyncio.to_thread(lambda: served.deploy(release, strategy="canary"))
    steps: list[Any] = []
    while not (steps and steps[-1][0].state in ENDED) and time.monotonic() - began < 90:
        await asyncio.sleep(0.1)
        steps = await asyncio.to_thread(history, served.project.ledger, deployment.id)
    took = time.monotonic() - began
    over.set()
    await loading
    await load.client.drained(30)
    load.client.close()
    last = steps[-1][0]
    if last.state != "live":
        await asyncio.to_thread(leave, served, last.state)
    return last, took


if __name__ == "__main__":
    main()
