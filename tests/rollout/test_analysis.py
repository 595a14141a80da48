"""Observing a deployment from the ledger: the same evidence however often, and by whichever process, it is read."""

from __future__ import annotations

import random

from examples import deployment_record, feedback_record, request_record
from flyball.records import Transition
from flyball.rollout.analysis import Analysis, observe
from flyball.rollout.config import RolloutConfig
from flyball.rollout.machine import History, Observation
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback, add_request

CONFIG = RolloutConfig(judge_after_s=10.0)
T0 = 1_790_000_000_000
CANARY = deployment_record(strategy="canary", plan={"steps": [0.1, 0.5]}, replaces="old")


def ramping() -> History:
    begun = [("requested", -3000), ("starting", -2000), ("ramping", 0)]
    return [
        (Transition(deployment=CANARY.id, state=state, step=0, evidence={}), T0 + after)  # type: ignore[arg-type]
        for state, after in begun
    ]


def traffic(ledger: Ledger, *, units: int, first: int = 0, seed: int = 1) -> None:
    rng = random.Random(seed)
    with ledger.begin() as connection:
        for n in range(first, first + units):
            arm = CANARY.id if rng.random() < 0.1 else "old"
            asked = request_record(unit=f"u{n}", deployment=arm, started_ms=T0 + 2000 + n * 10)
            add_request(connection, asked)
            if rng.random() < 0.2:
                said = feedback_record(request=asked.id, score=float(rng.random() < 0.7), at_ms=asked.started_ms + 50)
                add_feedback(connection, said)


def test_reading_in_pieces_comes_to_the_same_as_reading_at_once(ledger: Ledger) -> None:
    pieces = Analysis(ledger, CANARY, CONFIG, began_ms=T0 - 3000)
    for part in range(4):
        traffic(ledger, units=100, first=100 * part, seed=part)
        pieces.look(ledger, ramping(), T0 + 2000 + part * 1000)
    now = T0 + 60_000
    pieces.look(ledger, ramping(), now)
    at_once = observe(ledger, CANARY, ramping(), CONFIG, now_ms=now, seen=Observation(engine="ready"))
    assert pieces.observation(Observation(engine="ready")) == at_once
    assert at_once.candidate.units + at_once.live.units == 400
    assert 0 < at_once.live.good < at_once.live.units


def test_before_traffic_is_sent_nothing_is_read_and_nothing_is_known(ledger: Ledger) -> None:
    traffic(ledger, units=50)
    seen = observe(ledger, CANARY, ramping()[:2], CONFIG, now_ms=T0 + 60_000, seen=Observation())
    assert seen == Observation()


def test_traffic_of_other_routes_and_earlier_deployments_is_not_evidence(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        add_request(connection, request_record(route="another", deployment=CANARY.id, started_ms=T0 + 2000))
        add_request(connection, request_record(deployment="old", started_ms=T0 - 2000))
    seen = observe(ledger, CANARY, ramping(), CONFIG, now_ms=T0 + 60_000, seen=Observation())
    assert seen.candidate.requests == seen.live.requests == 0


def test_a_release_that_replaces_a_failing_one_may_fail_as_often(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        for n in range(200):
            outcome = "error" if n % 5 == 0 else "ok"
            add_request(connection, request_record(deployment="old", started_ms=T0 - 9000, outcome=outcome))
    analysis = Analysis(ledger, CANARY, CONFIG, began_ms=T0)
    assert 0.2 < analysis.evidence.watches["candidate"].detector.usual < 0.3
