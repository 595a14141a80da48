"""Copies against their originals: what counts, what is proven, and how rarely an equal shadow is blamed."""

from __future__ import annotations

from random import Random

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.mirrored_evidence import MirroredEvidence
from flyball.rollout.mirrored_pairs import Pairs
from flyball.storage.ledger import Ledger
from record_samples import request_record
from traffic_rows import add_request

CONFIG = RolloutConfig(margin_failures=0.1)


def pair(unit: str, *, shadow: dict[str, object] | None = None, **live: object) -> tuple[RequestRecord, RequestRecord]:
    answered = request_record(unit=unit, **live)
    changes = {"variant": "shadow", "deployment": "d2", "mirrors": answered.id, "unit": unit} | (shadow or {})
    return request_record(**changes), answered


def test_a_unit_has_one_score_and_each_request_is_counted() -> None:
    evidence = MirroredEvidence(CONFIG)
    for shadow in ({"outcome": "error"}, {}, {}):
        evidence.take(*pair("u1", shadow=shadow))
    seen = evidence.summary()
    assert (seen.requests, seen.failures, seen.live_failures, seen.units) == (3, 1, 0, 1)
    assert seen.not_worse.keys() == {"failures"}  # no time or cost where one of the two did not answer


def test_what_either_engine_refused_says_nothing() -> None:
    evidence = MirroredEvidence(CONFIG)
    evidence.take(*pair("u1", shadow={"outcome": "refused"}))
    evidence.take(*pair("u2", outcome="refused"))
    assert evidence.summary().requests == 0


def test_a_copy_that_fails_like_its_original_did_at_first_is_no_worse() -> None:
    evidence = MirroredEvidence(CONFIG)
    assert not evidence.take(*pair("u1", shadow={"outcome": "error"}, attempts=2))
    assert evidence.summary().live_failures == 0
    assert evidence.harm["failures"].total == 0.5  # the same: a copy is tried once, live twice more
    assert evidence.take(*pair("u2", attempts=2)), "both answered: the answers may be judged"
    assert evidence.harm["failures"].total == 0.5  # the second pair's score is 0: live alone faltered
    assert evidence.summary().not_worse.keys() == {"failures"}, "its time has the failed attempt in it"


def test_waiting_for_a_slot_is_not_the_engines_time() -> None:
    evidence = MirroredEvidence(CONFIG)
    evidence.take(*pair("u1", shadow={"total_ms": 1030.0, "queue_ms": 1000.0}, total_ms=30.0, queue_ms=0.0))
    assert evidence.harm["latency"].total == 0.5


def run(seed: int, *, units: int, fails: float = 0.02, slower: float = 1.0, dearer: float = 1.0) -> MirroredEvidence:
    """Heavy-tailed times, independent in both; what it says after so many units."""
    rng, evidence = Random(seed), MirroredEvidence(CONFIG)
    for number in range(units):
        shadow = {
            "outcome": "error" if rng.random() < fails else "ok",
            "total_ms": slower * rng.lognormvariate(4.0, 0.7),
            "queue_ms": 0.0,
            "cost_usd": dearer * rng.lognormvariate(-7.0, 0.5),
        }
        live_outcome = "error" if rng.random() < 0.02 else "ok"
        live = {"outcome": live_outcome, "total_ms": rng.lognormvariate(4.0, 0.7), "queue_ms": 0.0}
        evidence.take(*pair(f"u{number}", shadow=shadow, cost_usd=rng.lognormvariate(-7.0, 0.5), **live))
    return evidence


def harmed(evidence: MirroredEvidence) -> set[str]:
    harm = evidence.summary().harm
    return {name for name, p in harm.items() if p <= CONFIG.alpha / len(harm)}


def test_an_equal_shadow_is_blamed_in_at_most_a_twentieth_of_all_rollouts() -> None:
    blamed = sum(bool(harmed(run(seed, units=300))) for seed in range(200))
    assert blamed <= 18  # 5 % of 200 and three standard errors


def test_a_shadow_that_fails_more_is_slower_or_dearer_is_found() -> None:
    assert "failures" in harmed(run(1, units=300, fails=0.3))
    assert "latency" in harmed(run(1, units=150, slower=3.0))
    assert "cost" in harmed(run(1, units=150, dearer=2.0))


def verdicts(seed: int, *, units: int, live: float = 0.8, worse: float = 0.0) -> MirroredEvidence:
    """Judged pairs whose answers fail together half of the time, as those to one question do."""
    rng, evidence = Random(seed), MirroredEvidence(RolloutConfig())
    for number in range(units):
        assert evidence.take(*pair(f"u{number}"))
        hard, own = rng.random(), rng.random()
        copy = hard if rng.random() < 0.5 else own
        evidence.hear(float(copy < live - worse), float(hard < live))
    return evidence


def test_verdicts_blame_an_equal_shadow_rarely_and_find_one_that_answers_worse() -> None:
    def blamed(evidence: MirroredEvidence) -> bool:
        harm = evidence.summary().harm
        return harm["quality"] <= 0.05 / len(harm)

    assert sum(blamed(verdicts(seed, units=400)) for seed in range(400)) <= 12  # 1.25 % of 400, three standard errors
    assert sum(blamed(verdicts(seed, units=600, worse=0.1)) for seed in range(50)) >= 45
    seen = verdicts(1, units=200, worse=0.3).summary()
    assert seen.judged == 200 and seen.quality is not None and seen.live_quality is not None
    assert seen.live_quality - seen.quality > 0.15


def test_an_equal_shadow_is_proven_to_answer_within_the_margin() -> None:
    assert verdicts(3, units=900).summary().not_worse["quality"] <= 0.05


def test_only_the_first_pair_of_a_unit_is_judged_and_only_where_both_answered() -> None:
    evidence = MirroredEvidence(CONFIG)
    assert evidence.take(*pair("u1")) and not evidence.take(*pair("u1"))
    assert not evidence.take(*pair("u2", shadow={"outcome": "error"}))
    assert not evidence.take(*pair("u3", outcome="aborted"))
    assert not evidence.take(*pair("u4", shadow={"outcome": "refused"}))


def test_an_equal_shadow_is_proven_to_be_within_the_margin() -> None:
    proven = run(2, units=1500).summary().not_worse
    assert proven["failures"] <= CONFIG.alpha and proven["cost"] <= CONFIG.alpha


def test_a_copy_waits_for_its_original_and_that_of_another_deployment_is_none_of_ours(ledger: Ledger) -> None:
    pairs = Pairs("d2", CONFIG)
    evidence = pairs.evidence
    copy, original = pair("u1", shadow={"cost_usd": 0.25})
    pairs.take([copy, pair("u2", shadow={"deployment": "d1"})[0], request_record(unit="u3")])
    pairs.match(ledger)
    assert (evidence.summary().requests, evidence.summary().cost_usd) == (0, 0.25)
    with ledger.begin() as connection:
        add_request(connection, original)
    pairs.match(ledger)
    pairs.match(ledger)
    assert (evidence.summary().requests, evidence.summary().units) == (1, 1)
