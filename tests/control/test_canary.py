"""A canary from request to outcome: real engines, and traffic as the ingester would have written it."""

from __future__ import annotations

import random
import time

import pytest
from msgspec.structs import replace

from control_shop import ROLLOUT, Shop, passes
from flyball.control.context import ControlContext
from flyball.records import Deployment, Transition
from flyball.rollout.judged_answers import JudgingQueue
from flyball.storage.deployments import history
from flyball.storage.ledger import now_ms
from flyball.storage.traffic import add_feedback
from record_samples import feedback_record, request_record
from traffic_rows import add_request

SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


class Customers:
    """Requests to whatever the routes say, each from a new unit."""

    def __init__(self, shop: Shop, *, failing: dict[str, float], praising: bool = False) -> None:
        self.shop, self.failing, self.praising, self.rng, self.asked = shop, failing, praising, random.Random(1), 0

    def ask(self, times: int) -> None:
        (route,) = self.shop.routes.routes
        with self.shop.ledger.begin() as connection:
            for _ in range(times):
                self.asked += 1
                (arm,) = self.rng.choices(route.arms, [arm.weight for arm in route.arms])
                failed = self.rng.random() < self.failing.get(arm.release, 0.02)
                asked = request_record(
                    release=arm.release,
                    deployment=arm.deployment,
                    variant=arm.variant,
                    unit=f"u{self.asked}",
                    started_ms=now_ms(),
                    outcome="error" if failed else "ok",
                )
                add_request(connection, asked)
                if self.praising:
                    add_feedback(connection, feedback_record(request=asked.id, score=1.0, at_ms=now_ms()))


class Reviewer:
    """Says of every answer that waits whether it was right; most were."""

    def __init__(self, shop: Shop, *, right: float = 0.95) -> None:
        self.ledger, self.right, self.rng = shop.ledger, right, random.Random(2)
        self.desk = JudgingQueue(shop.ledger, ROLLOUT)

    def judge(self) -> None:
        waiting = self.desk.waiting(now_ms())
        with self.ledger.begin() as connection:
            for request in waiting:
                score = float(self.rng.random() < self.right)
                add_feedback(connection, feedback_record(request=request, score=score, judge="ann", at_ms=now_ms()))


def canary(shop: Shop, **config: object) -> tuple[ControlContext, str, str, Deployment]:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control(rollout=replace(ROLLOUT, **config))
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    deployment = shop.deploy(two, "canary", steps=[0.3, 0.5])
    passes(context, lambda: "canary" in shop.arms())
    return context, one, two, deployment


def last(shop: Shop, deployment: Deployment) -> Transition:
    return history(shop.ledger, deployment.id)[-1][0]


@SQLITE
def test_a_good_canary_climbs_its_steps_and_goes_live_on_proof(shop: Shop) -> None:
    context, one, two, deployment = canary(shop)
    assert shop.arms() == {"canary": (two, 0.3, 1), "live": (one, 0.7, 1)}
    customers, reviewer = Customers(shop, failing={}), Reviewer(shop)

    def promoted() -> bool:
        customers.ask(20)
        reviewer.judge()
        return shop.live() == two

    passes(context, promoted)
    assert shop.states(deployment) == ["requested", "starting", "ramping", "ramping", "live"]
    evidence = last(shop, deployment).evidence
    assert evidence["candidate_units"] >= ROLLOUT.min_units
    assert max(evidence[f"p_worse_by_margin_{name}"] for name in ("quality", "failures")) <= 0.05
    passes(context, lambda: shop.arms() == {"live": (two, 1.0, 1), "previous": (one, 0.0, 1)})


@SQLITE
def test_praise_without_verdicts_promotes_nobody_and_the_pause_says_why(shop: Shop) -> None:
    context, one, two, deployment = canary(shop, deadline_s=6.0)
    customers = Customers(shop, failing={one: 0.0, two: 0.0}, praising=True)

    def paused() -> bool:
        customers.ask(20)
        return shop.states(deployment)[-1] == "paused"

    passes(context, paused)
    evidence = last(shop, deployment).evidence
    assert evidence["candidate_units"] > 100 and evidence["measures"]["feedback"]["candidate"]["mean"] == 1.0
    assert "no answers of both releases were judged, and feedback alone never promotes" in str(evidence["reason"])
    assert "live" not in shop.states(deployment) and shop.live() == one


@SQLITE
def test_a_canary_that_fails_more_often_is_rolled_back_and_live_never_moved(shop: Shop) -> None:
    context, one, two, deployment = canary(shop, max_failures=10)
    customers = Customers(shop, failing={two: 0.4})

    def rolled_back() -> bool:
        customers.ask(5)
        return shop.states(deployment)[-1] == "rolled_back"

    passes(context, rolled_back)
    reason = str(last(shop, deployment).evidence["reason"])
    assert "worse than live in" in reason or "fail more often" in reason  # whichever is sure first
    assert shop.live() == one
    passes(context, lambda: shop.arms() == {"live": (one, 1.0, 1)})


@SQLITE
def test_five_of_the_first_ten_requests_failing_end_it_at_once(shop: Shop) -> None:
    context, _, two, deployment = canary(shop)
    customers = Customers(shop, failing={two: 1.0})
    customers.ask(30)
    assert passes(context, lambda: shop.states(deployment)[-1] == "rolled_back") < 2.0
    assert "first ten requests failed" in str(last(shop, deployment).evidence["reason"])


@SQLITE
def test_a_canary_without_traffic_pauses_at_its_deadline_and_keeps_its_share(shop: Shop) -> None:
    context, one, two, deployment = canary(shop, deadline_s=0.5)
    passes(context, lambda: shop.states(deployment)[-1] == "paused")
    assert "proves nothing" in str(last(shop, deployment).evidence["reason"])
    assert shop.arms() == {"canary": (two, 0.3, 1), "live": (one, 0.7, 1)}


@SQLITE
def test_a_release_that_begins_to_fail_after_it_went_live_is_rolled_back_in_seconds(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    second = shop.deploy(two)
    passes(context, lambda: shop.live() == two and bool(shop.arms()["live"][2]))
    Customers(shop, failing={two: 0.0}).ask(60)
    passes(context, lambda: True)
    began = time.monotonic()
    Customers(shop, failing={two: 1.0}).ask(8)
    passes(context, lambda: shop.arms()["live"][0] == one)
    assert time.monotonic() - began < 2.0
    evidence = last(shop, second).evidence
    assert "fail more often than those of the release before" in str(evidence["reason"]) and evidence["seconds"] < 2.0
