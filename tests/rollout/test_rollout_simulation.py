"""The simulation of rollouts: it decides what the product decides, unit for unit; and rollouts decide well."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from msgspec.structs import replace

from flyball.records import Feedback, RequestRecord
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.observation import Observation
from flyball.rollout.state_machine import advance
from record_samples import feedback_record, request_record

BENCH = Path(__file__).parents[2] / "bench"
LONG = pytest.mark.long
T0 = 1_790_000_000_000


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    sys.path.insert(0, str(BENCH))
    try:
        import rollout
    finally:
        sys.path.remove(str(BENCH))
    return rollout


def said_of(users: object, unit: int, record: RequestRecord) -> list[Feedback]:
    rating, verdict = float(users.feedback[unit]), float(users.quality[unit])  # type: ignore[attr-defined]
    words = [] if np.isnan(rating) else [feedback_record(request=record.id, score=rating, at_ms=record.started_ms)]
    if not np.isnan(verdict):
        words.append(feedback_record(request=record.id, score=verdict, judge="a judge", at_ms=record.started_ms))
    return words


def one_by_one(users: object, config: RolloutConfig, deployment: object, history: list[object]) -> list[object]:
    """The transitions of a rollout whose units come one by one through Evidence, with a look after each."""
    evidence = Evidence(candidate="candidate", live="live", config=config, in_sample=lambda unit: True)
    evidence.shares = [(T0 - 2000, 0.1)]
    found = []
    for unit in range(len(users.canary)):  # type: ignore[attr-defined]
        record = request_record(
            id=f"r{unit}",
            unit=f"u{unit}",
            deployment="candidate" if users.canary[unit] else "live",  # type: ignore[attr-defined]
            started_ms=T0 + 100 * unit,
            outcome="ok" if users.failures[unit] else "error",  # type: ignore[attr-defined]
            finish_reason="stop" if users.blocked[unit] else "content_filter",  # type: ignore[attr-defined]
            total_ms=float(users.latency_ms[unit]),  # type: ignore[attr-defined]
            cost_usd=float(users.cost_usd[unit]),  # type: ignore[attr-defined]
        )
        evidence.take([record])
        said = {record.id: said_of(users, unit, record)}
        evidence.judge(evidence.due(record.started_ms + 1_000_000), said)
        candidate, live = evidence.arm("candidate"), evidence.arm("live")
        compared = bool(candidate.units and live.units)
        seen = Observation(
            engine="ready",
            candidate=candidate,
            live=live,
            first_ten_failures=evidence.first_ten_failures,
            outage=evidence.outage,
            harm={name: test.p_value for name, test in evidence.harm.items()} if compared else {},
            not_worse={name: test.p_value for name, test in evidence.not_worse.items()} if compared else {},
            sample_ratio=evidence.sample_ratio,
            doubts=evidence.doubts,
        )
        transition = advance(deployment, history, seen, config, 1000)  # type: ignore[arg-type]
        if transition is not None:
            history.append((transition, 0))
            found.append((transition.state, unit + 1, str(transition.evidence["reason"]).split(" came from")[0]))
            if transition.state in ("live", "rolled_back"):
                break
    return found


@pytest.mark.parametrize("count", [8, pytest.param(14, marks=pytest.mark.long)])
def test_blocks_of_units_come_to_the_same_transitions_at_the_same_units_as_units_one_by_one(
    bench: ModuleType, count: int
) -> None:
    """Equal, worse, failing, slow, unanswered and wrongly split canaries, 6,000 units of each."""
    runs, release = sys.modules["rollout_runs"], bench.Release
    cases = [
        bench.Case(),
        bench.Case(),
        bench.Case(candidate=release(quality=0.7)),
        bench.Case(candidate=release(failures=0.5)),
        bench.Case(candidate=release(failures=0.08)),
        bench.Case(candidate=release(slower=1.6)),
        bench.Case(candidate=release(quality=0.45), unhappy_answer_more=3.0),
    ]
    states: Counter[str] = Counter()
    for number, case in enumerate((cases * 2)[:count]):
        users = bench.draw(case, np.random.default_rng([13, number]), 6_000)
        if number == 0:  # most of the canary's units never arrive
            lost = ~users.canary | (np.arange(6_000) % 7 == 0)
            users = bench.Users(**{name: getattr(users, name)[lost] for name in bench.Users.__slots__})
        if number == 7:  # the canary's verdicts get lost
            silent = np.where(users.canary & (np.arange(6_000) % 2 == 0) & users.answered, np.nan, users.quality)
            users = bench.replace(users, quality=silent)
        config = replace(runs.config_of(0.02), judge_after_s=0.0, judge_within_s=1e-9)
        slowly = one_by_one(users, config, runs.DEPLOYMENT, runs.ramping())
        outcome = runs.Run(users, config).decide()
        fast = [(state, unit, reason.split(" came from")[0]) for state, unit, reason in outcome.transitions]
        assert fast == slowly, case
        states.update(state for state, _, _ in fast)
    assert states["live"] >= 1 and states["rolled_back"] >= (8 if count == 14 else 4) and states["paused"] >= 2


@pytest.mark.parametrize(("runs", "most_wrong", "least_right"), [(40, 6, 31), pytest.param(120, 12, 98, marks=LONG)])
@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("equal", "rolled_back", lambda one: one.proven_at is not None and one.proven_at <= 1500),
        ("worse", "live", lambda one: one.state == "rolled_back" and one.judged <= 600),
        ("heavy_tailed_users:equal", "rolled_back", lambda one: one.proven_at is not None and one.proven_at <= 1500),
        ("heavy_tailed_users:worse", "live", lambda one: one.state == "rolled_back" and one.judged <= 600),
        ("rare_errors:more_errors", "live", None),
    ],
)
def test_rollouts_decide_well(
    bench: ModuleType, name: str, wrong: str, right: object, runs: int, most_wrong: int, least_right: int
) -> None:
    """At most 5 % wrong (12 of 120 and 6 of 40 have probability .013 at 5 %), at least 90 % right (98 of 120: .004)."""
    outcomes = bench.outcomes_of((name, 0, runs))
    assert sum(one.state == wrong for one in outcomes) < most_wrong
    if right is not None:
        assert sum(right(one) for one in outcomes) > least_right  # type: ignore[operator]


def test_the_report_has_the_figures_that_are_promised(bench: ModuleType) -> None:
    outcomes = {name: bench.outcomes_of((name, 0, 2)) for name in bench.CASES}
    found = bench.report(outcomes)
    promised = {"false_rollback", "false_promotion", "worse_gone_within_600", "equal_proven_within_1500"}
    assert promised <= set(found) and set(found["stress"]) == set(bench.STRESS)
    for case in found["stress"].values():
        assert promised <= set(case)
    assert found["false_promotion_counts"]["of"][1] == 2
