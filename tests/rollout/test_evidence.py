"""Evidence of a rollout: units, not requests; judged once, at equal age; failures where they belong."""

from __future__ import annotations

import random

import msgspec
import pytest

from flyball.records import RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.units import is_failure, is_negative
from record_samples import feedback_record, request_record

CONFIG = RolloutConfig(
    judge_after_s=10.0, margin=0.1, margin_failures=0.1, margin_blocked=0.1, margin_cost=0.5, alpha=0.05
)
T0 = 1_790_000_000_000


def evidence(**config: object) -> Evidence:
    made = Evidence(
        candidate="new", live="old", config=msgspec.structs.replace(CONFIG, **config), in_sample=lambda unit: True
    )
    made.shares = [(T0, 0.1), (T0 + 100_000, 0.5)]
    return made


def asked(unit: str, arm: str = "new", *, after_s: float = 5, **changes: object) -> RequestRecord:
    return request_record(unit=unit, deployment=arm, started_ms=T0 + round(after_s * 1000), **changes)


def judged(made: Evidence, now_s: float, said: dict[str, list[object]] | None = None) -> None:
    due = made.due(T0 + round(now_s * 1000))
    made.judge(due, said or {})  # type: ignore[arg-type]


def test_one_unit_counts_once_however_much_it_asks() -> None:
    made = evidence()
    made.take([asked("ann"), asked("ann", after_s=6, outcome="error"), asked("bob")])
    judged(made, 15)
    made.take([asked("ann", after_s=16)])
    judged(made, 60)
    arm = made.arm("candidate")
    assert (arm.requests, arm.failures, arm.units, arm.good, arm.failed_units) == (4, 1, 2, 1, 1)


def test_a_unit_is_judged_at_its_age_and_not_before() -> None:
    made = evidence()
    made.take([asked("ann")])
    judged(made, 14.9)
    assert made.arm("candidate").units == 0
    judged(made, 15)
    assert made.arm("candidate").units == 1


def test_silence_is_not_negative_and_late_feedback_changes_nothing() -> None:
    made = evidence()
    quiet, late, sad = asked("quiet"), asked("late"), asked("sad")
    made.take([quiet, late, sad])
    complaint = {"score": 0.0}
    said = {
        late.id: [feedback_record(request=late.id, at_ms=T0 + 15_001, **complaint)],
        sad.id: [feedback_record(request=sad.id, at_ms=T0 + 14_000, **complaint)],
    }
    judged(made, 20, said)  # type: ignore[arg-type]
    assert (made.arm("candidate").units, made.arm("candidate").good) == (3, 2)


def test_the_last_word_on_a_request_counts() -> None:
    made = evidence()
    asked_once = asked("ann")
    made.take([asked_once])
    first = feedback_record(request=asked_once.id, score=0.0, at_ms=T0 + 6000)
    second = feedback_record(request=asked_once.id, score=1.0, at_ms=T0 + 7000)
    judged(made, 20, {asked_once.id: [first, second]})
    assert made.arm("candidate").good == 1


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"outcome": "ok"}, False),
        ({"outcome": "error", "error": "fallback:aaaa:connect"}, True),  # answered by another arm
        ({"outcome": "cut"}, True),
        ({"outcome": "aborted", "first_token_ms": None, "total_ms": 11_000.0}, True),
        ({"outcome": "aborted", "first_token_ms": None, "total_ms": 900.0}, False),
        ({"outcome": "aborted", "first_token_ms": 20.0, "total_ms": 60_000.0}, False),
    ],
)
def test_a_failure_is_the_arms_and_a_goodbye_is_the_clients(changes: dict[str, object], failure: bool) -> None:
    assert is_failure(request_record(**changes)) is failure


def test_a_retry_spares_the_client_and_not_the_release() -> None:
    made = evidence()
    made.take([asked("ann", attempts=2), asked("bob"), asked("eve", "old", attempts=3, outcome="error")])
    judged(made, 15)
    mine, live = made.arm("candidate"), made.arm("live")
    assert (mine.failures, mine.retried, mine.failed_units, mine.good) == (0, 1, 0, 2)
    assert (live.failures, live.retried, live.failed_units, live.good) == (1, 0, 1, 0)
    assert made.measures.failures.totals == {"candidate": 1.0, "live": 0.0}
    assert (made.first_ten_failures, made.outage) == (0, False)  # these act at once, for clients


def test_failing_attempts_are_harm_even_where_every_retry_succeeds() -> None:
    rng, made, needed = random.Random(3), evidence(judge_after_s=0.0), 0
    while not any(test.p_value <= CONFIG.alpha / 6 for test in made.harm.values()):
        needed += 1
        arm = "new" if rng.random() < 0.1 else "old"
        made.take([asked(f"u{needed}", arm, after_s=needed, attempts=2 if arm == "new" and needed % 8 == 0 else 1)])
        judged(made, needed)
        assert needed < 3000
    assert made.arm("candidate").failures == 0
    assert made.arm("candidate").units < 100


def test_a_correction_without_a_score_is_negative() -> None:
    assert is_negative(feedback_record(score=None, has_correction=True))
    assert not is_negative(feedback_record(score=1.0, has_correction=True))
    assert not is_negative(feedback_record(score=None, has_comment=True))


def test_refused_requests_and_strangers_say_nothing() -> None:
    made = evidence()
    made.take([asked("ann", outcome="refused"), asked("bob", "another"), asked("eve", "old", after_s=-5)])
    judged(made, 60)
    assert made.arm("candidate").requests == made.arm("live").requests == 0


def test_failures_of_the_first_ten_are_counted_and_those_that_come_together_are_an_outage() -> None:
    made = evidence()
    made.take([asked(f"u{n}", after_s=n, outcome="error" if n in (3, 4) or n >= 14 else "ok") for n in range(20)])
    assert (made.first_ten_failures, made.outage) == (2, True)
    assert made.failing_since_ms == T0 + 14_000


def test_units_seen_within_the_routing_lag_say_nothing_of_the_split() -> None:
    made = evidence()
    made.take([asked(f"early{n}", "old", after_s=0.5) for n in range(400)])
    assert made.sample_ratio == 1.0
    made.take([asked(f"later{n}", "old", after_s=5) for n in range(400)])  # none of them in the canary: impossible
    assert made.sample_ratio < 1e-3


def simulate(rng: random.Random, *, live: float, candidate: float, units: int) -> tuple[bool, bool]:
    """Whether harm, and whether harmlessness, was proven at any look; one look per unit."""
    made, harm, harmless = evidence(judge_after_s=0.0), False, False
    for n in range(units):
        arm, rate = ("new", candidate) if rng.random() < 0.5 else ("old", live)
        made.take([asked(f"u{n}", arm, after_s=n, outcome="ok" if rng.random() < rate else "error")])
        judged(made, n)
        harm = harm or any(test.p_value <= CONFIG.alpha / 6 for test in made.harm.values())
        others = [test for name, test in made.not_worse.items() if name != "quality"]  # nothing is judged here
        harmless = harmless or all(test.p_value <= CONFIG.alpha for test in others)
    return harm, harmless


def test_an_equal_candidate_is_rarely_harmed_and_one_worse_by_the_margin_rarely_passes() -> None:
    rng = random.Random(1)
    equal = [simulate(rng, live=0.9, candidate=0.9, units=300) for _ in range(40)]
    worse = [simulate(rng, live=0.9, candidate=0.8, units=300) for _ in range(40)]
    assert sum(harm for harm, _ in equal) <= 5  # 5 % meant: more than 5 of 40 has probability .014
    assert sum(harmless for _, harmless in worse) <= 5
    assert sum(harmless for _, harmless in equal) >= 15


def test_a_much_worse_candidate_is_found_within_150_units() -> None:
    rng = random.Random(2)
    assert sum(simulate(rng, live=0.95, candidate=0.5, units=150)[0] for _ in range(20)) >= 19
