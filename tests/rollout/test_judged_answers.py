"""Which answers wait for a verdict: one of each sampled unit, both arms alike, in an order that gives nothing away."""

from __future__ import annotations

import math

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.judged_answers import JudgingQueue
from flyball.rollout.sampling import in_sample
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback
from judged_traffic import Canary, now_ms
from record_samples import feedback_record, request_record
from traffic_rows import add_request

EVERYBODY = RolloutConfig(judge_share=1.0)


def test_each_sampled_unit_gives_its_first_answer_and_no_other(ledger: Ledger) -> None:
    canary = Canary(ledger)
    failed = canary.ask("ann", outcome="error", status=502)
    first = canary.ask("ann")
    canary.ask("ann")
    other = canary.ask("ben", canary=True)
    desk = JudgingQueue(ledger, EVERYBODY)
    assert set(desk.waiting(now_ms())) == {first.id, other.id}
    later = canary.ask("cleo", canary=True)
    assert (
        set(desk.waiting(now_ms()))
        == {first.id, other.id, later.id}
        == set(JudgingQueue(ledger, EVERYBODY).waiting(now_ms()))
    )
    assert failed.id not in desk.waiting(now_ms())


def test_forced_mirrored_refused_stood_in_and_foreign_requests_are_not_drawn(ledger: Ledger) -> None:
    canary = Canary(ledger)
    canary.ask("a", canary=True, forced=True)
    canary.ask("b", canary=True, variant="shadow", mirrors="somebody")
    canary.ask("c", outcome="refused", status=429)
    canary.ask("d", answered_by="b" * 64)
    canary.ask("e", route="elsewhere")
    canary.ask("f", deployment="another")
    canary.ask("g", deployment=None)
    canary.ask("h", started_ms=canary.began_ms - 120_000)  # before the canary had any traffic
    assert JudgingQueue(ledger, EVERYBODY).waiting(now_ms()) == []


def test_a_verdict_a_late_moment_and_the_end_of_the_rollout_close_what_waits(ledger: Ledger) -> None:
    canary = Canary(ledger)
    judged, liked, waiting = canary.ask("ann"), canary.ask("ben"), canary.ask("cleo")
    with ledger.begin() as connection:
        add_feedback(connection, feedback_record(request=judged.id, judge="eve"))
        add_feedback(connection, feedback_record(request=liked.id))  # an opinion is no verdict
    desk = JudgingQueue(ledger, EVERYBODY)
    assert set(desk.waiting(now_ms())) == {liked.id, waiting.id}
    assert desk.waiting(now_ms() + round(EVERYBODY.judge_within_s * 1000) + 1000) == []
    canary.move("paused")
    assert len(desk.waiting(now_ms())) == 2  # a person may still want to know
    canary.move("rolled_back")
    assert desk.waiting(now_ms()) == []


def test_the_share_is_what_was_asked_for_in_both_arms_and_the_order_mixes_them(ledger: Ledger) -> None:
    """1,200 units, a fifth sampled: within 4.5 standard deviations; both halves of the order hold both arms."""
    canary, at, config = Canary(ledger), now_ms(), RolloutConfig(judge_share=0.2)
    records = [asked(canary, f"u{n}", n % 2 == 1, at) for n in range(1200)]
    with ledger.begin() as connection:
        for record in records:
            add_request(connection, record)
    waiting = JudgingQueue(ledger, config).waiting(at)
    arm = {record.id: record.deployment == canary.deployment.id for record in records}
    for of_candidate in (True, False):
        count = sum(arm[name] is of_candidate for name in waiting)
        assert abs(count - 120) < 4.5 * math.sqrt(600 * 0.2 * 0.8)
    for half in (waiting[: len(waiting) // 2], waiting[len(waiting) // 2 :]):
        assert abs(sum(arm[name] for name in half) - len(half) / 2) < 4.5 * math.sqrt(len(half)) / 2
    assert waiting != sorted(waiting) and waiting == JudgingQueue(ledger, config).waiting(at)
    sampled = {record.id for record in records if in_sample(canary.deployment.id, record.unit, 0.2)}
    assert set(waiting) == sampled


def test_of_a_shadow_the_first_copy_of_each_sampled_unit_is_judged_with_its_original(ledger: Ledger) -> None:
    shadow = Canary.mirrored(ledger)
    pair = shadow.copied("ann")
    shadow.copied("ann")
    shadow.copied("ben", outcome="error", status=502)
    shadow.ask("cleo")  # never mirrored
    desk = JudgingQueue(ledger, EVERYBODY)
    assert set(desk.waiting(now_ms())) == {one.id for one in pair}
    with ledger.begin() as connection:
        add_feedback(connection, feedback_record(request=pair[0].id, judge="eve"))
    later = shadow.copied("dan")
    assert set(desk.waiting(now_ms())) == {pair[1].id, *(one.id for one in later)}
    assert desk.waiting(now_ms() + round(EVERYBODY.judge_within_s * 1000) + 1000) == []
    assert JudgingQueue(ledger, RolloutConfig(judge_share=0.0)).waiting(now_ms()) == []
    shadow.move("ramping", step=1)
    assert JudgingQueue(ledger, EVERYBODY).waiting(now_ms()) == [], "the canary's own answers are judged now"


def asked(canary: Canary, unit: str, of_candidate: bool, at_ms: int) -> RequestRecord:
    return request_record(
        unit=unit, started_ms=at_ms, deployment=canary.deployment.id if of_candidate else canary.deployment.replaces
    )
