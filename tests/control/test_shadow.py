"""A shadow from request to canary: real engines, a real gateway, and the ingester between them."""

from __future__ import annotations

import dataclasses
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from control_shop import ROLLOUT, Shop, passes
from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ingester import ingest_once
from flyball.records import Deployment, Transition
from flyball.rollout.config import JudgeConfig
from flyball.rollout.judged_answers import JudgingQueue
from flyball.rollout.plans import plan_of
from flyball.security.keys import ProjectKey
from flyball.storage.deployments import history
from flyball.storage.ledger import now_ms
from flyball.storage.traffic import add_feedback, search_requests
from record_samples import feedback_record

GATEWAY = Path(__file__).parents[1] / "support" / "gateway_process.py"
SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


class Customers:
    """Users who ask the gateway in turn, each once a round; what they sent is then ingested."""

    def __init__(self, shop: Shop, ledger_url: str) -> None:
        self.shop, self.asked = shop, 0
        run = shop.root / "run"
        run.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(GATEWAY), "0", str(run), ledger_url, "0"]
        with (shop.root / "gateway.log").open("wb") as log:
            self.gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self.gateway.stdout is not None
        self.port = int(self.gateway.stdout.readline())

    def ask(self, times: int) -> set[tuple[int, str | None]]:
        """(status, variant) of the answers; each is of a new user."""
        seen = set()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for _ in range(times):
            self.asked += 1
            message = {"role": "user", "content": f"hi {self.asked}"}
            body = {"model": "shop", "user": f"u{self.asked}", "messages": [message], "max_tokens": 4}
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            answer = connection.getresponse()
            answer.read()
            seen.add((answer.status, answer.headers.get("x-flyball-variant")))
        connection.close()
        self.ingest()
        return seen

    def ingest(self) -> None:
        ingest_once(
            IngestContext(
                recording=RecordingConfig(),
                project="shop",
                segments_dir=self.shop.root / "run" / "segments",
                project_key=ProjectKey(bytes(range(32))),
                ledger=self.shop.ledger,
            )
        )

    def leave(self) -> None:
        self.gateway.terminate()
        self.gateway.wait(20)
        assert self.gateway.stdout is not None
        self.gateway.stdout.close()


@pytest.fixture
def customers(shop: Shop, ledger_url: str) -> Iterator[Customers]:
    made = Customers(shop, ledger_url)
    yield made
    made.leave()


def last(shop: Shop, deployment: Deployment) -> Transition:
    return history(shop.ledger, deployment.id)[-1][0]


@SQLITE
def test_a_shadow_answers_nobody_and_leads_to_a_canary_when_its_copies_show_no_harm(
    shop: Shop, customers: Customers
) -> None:
    one, two = shop.release("one"), shop.release("two")
    # two releases that share two busy cores are not equally fast from one request to the next
    config = replace(ROLLOUT, margin_latency=9.0, margin_cost=9.0)
    context = shop.control(rollout=config)
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    plan = plan_of("shadow", config, mirrored=1.0, then="canary", shares=(0.3,))
    deployment = shop.deploy(two, "shadow", **plan)
    passes(context, lambda: "shadow" in shop.arms())
    assert shop.arms() == {"shadow": (two, 1.0, 1), "live": (one, 1.0, 1)}
    answered: set[tuple[int, str | None]] = set()

    def ramped() -> bool:
        if last(shop, deployment).step == 0:
            answered.update(customers.ask(2))
        return last(shop, deployment).step == 1

    passes(context, ramped, seconds=60)
    assert answered == {(200, "live")}
    assert shop.states(deployment) == ["requested", "starting", "ramping", "ramping"]
    evidence = last(shop, deployment).evidence
    assert evidence["mirrored_units"] >= config.min_units and evidence["mirrored_failures"] == 0
    copies = [seen.record for seen in search_requests(shop.ledger) if seen.record.mirrors]
    assert {(copy.release, copy.variant, copy.deployment) for copy in copies} == {(two, "shadow", deployment.id)}
    passes(context, lambda: "canary" in shop.arms())
    assert shop.arms() == {"canary": (two, 0.3, 1), "live": (one, 0.7, 1)}
    analysis = context.memory.analyses[deployment.id]
    assert analysis.evidence.counts["candidate"]["requests"] == 0  # copies are no evidence about the canary


@SQLITE
def test_a_shadow_whose_answers_are_judged_worse_ends_before_anybody_met_it(shop: Shop, customers: Customers) -> None:
    one, two = shop.release("one"), shop.release("two")
    judged = {
        "judge_share": 1.0,
        "judge_after_s": 0.5,
        "judge_within_s": 3.0,
        "judge": JudgeConfig(command=("judge",), every_s=0.1),
    }
    config = replace(ROLLOUT, margin_latency=9.0, margin_cost=9.0, min_units=20, **judged)
    desk = JudgingQueue(shop.ledger, config)

    def judge() -> int:
        """A judge who likes what live says and nothing else, and is not told which is which."""
        waiting = desk.waiting(now_ms())
        by_release = {seen.record.id: seen.record.release for seen in search_requests(shop.ledger, limit=1000)}
        with shop.ledger.begin() as connection:
            for name in waiting:
                score = float(by_release[name] == one)
                add_feedback(connection, feedback_record(request=name, score=score, judge="key", at_ms=now_ms()))
        return len(waiting)

    context = dataclasses.replace(shop.control(rollout=config), judge=judge)
    shop.made.append(context)
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    plan = plan_of("shadow", config, mirrored=1.0, then="canary", shares=(0.3,))
    deployment = shop.deploy(two, "shadow", **plan)
    passes(context, lambda: "shadow" in shop.arms())
    answered: set[tuple[int, str | None]] = set()

    def ended() -> bool:
        if shop.states(deployment)[-1] == "ramping":
            answered.update(customers.ask(2))
        return shop.states(deployment)[-1] == "rolled_back"

    passes(context, ended, seconds=90)
    evidence = last(shop, deployment).evidence
    assert evidence["reason"] == "worse than live in quality" and evidence["mirrored_judged"] > 0
    assert (evidence["mirrored_quality"], evidence["live_quality"]) == (0.0, 1.0)
    assert answered == {(200, "live")} and last(shop, deployment).step == 0


@SQLITE
def test_a_shadow_that_has_cost_what_was_allowed_is_asked_no_more(shop: Shop, customers: Customers) -> None:
    one, two = shop.release("one"), shop.release("two")
    config = replace(ROLLOUT, shadow_max_usd=1e-5, min_units=1000)
    context = shop.control(rollout=config)
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    deployment = shop.deploy(two, "shadow", **plan_of("shadow", config, mirrored=1.0))
    passes(context, lambda: "shadow" in shop.arms())

    def paused() -> bool:
        customers.ask(2)
        return shop.states(deployment)[-1] == "paused"

    passes(context, paused, seconds=60)
    assert "rollout.shadow_max_usd" in str(last(shop, deployment).evidence["reason"])
    passes(context, lambda: shop.arms() == {"live": (one, 1.0, 1)})
    customers.ingest()
    spent = sum(seen.record.cost_usd for seen in search_requests(shop.ledger) if seen.record.mirrors)
    assert 0 < spent < 1e-4
