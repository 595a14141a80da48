"""The rollout machine: what it does, and what it never does, whatever it observes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.records import Deployment, Strategy, Transition
from flyball.rollout.config import JudgeConfig, RolloutConfig
from flyball.rollout.observation import ArmCounts, Mirrored, Observation
from flyball.rollout.plans import check_plan, plan_of, steps_of
from flyball.rollout.state_machine import LEGAL, History, advance, shadow_allowance_usd
from record_samples import deployment_record

CONFIG = RolloutConfig(min_units=30, deadline_s=100.0, ready_timeout_s=10.0, scale_down_delay_s=50.0)
CANARY = deployment_record(strategy="canary", plan={"steps": [0.1, 0.5]}, replaces="old")
BLUE_GREEN = deployment_record(replaces="old")
PLENTY = ArmCounts(requests=100, units=100, good=90)
HARMLESS = {"quality": 0.01, "failures": 0.01}
FINE = {"quality": 0.9, "failures": 0.9}


def at(state: str, *, step: int = 0, at_ms: int = 0, deployment: Deployment = CANARY) -> History:
    transition = Transition(deployment=deployment.id, state=state, step=step, evidence={})  # type: ignore[arg-type]
    return [(transition, at_ms)]


def after(
    history: History, seen: Observation, *, now_ms: int = 1000, deployment: Deployment = CANARY, **config: object
) -> tuple[str, int, str] | None:
    """What the machine does next: state, step and reason."""
    done = advance(deployment, history, seen, msgspec.structs.replace(CONFIG, **config), now_ms)
    return (done.state, done.step, str(done.evidence["reason"])) if done else None


def test_what_the_control_plane_does_not_admit_fails_with_the_reason() -> None:
    assert after(at("requested"), Observation(refusal="no passing gate")) == ("failed", 0, "no passing gate")
    assert after(at("requested"), Observation()) == ("starting", 0, "admitted")


def test_a_canary_takes_its_first_step_once_its_engine_answers() -> None:
    assert after(at("starting"), Observation(engine="starting")) is None
    assert after(at("starting"), Observation(engine="ready")) == ("ramping", 0, "its engine answered")


def test_a_blue_green_release_and_any_first_release_go_live_once_their_engine_answers() -> None:
    first = replace(CANARY, replaces=None)
    for deployment in (BLUE_GREEN, first):
        done = after(at("starting"), Observation(engine="ready"), deployment=deployment)
        assert done is not None and done[0] == "live"


@pytest.mark.parametrize(
    ("seen", "now_ms"),
    [(Observation(engine="failed", engine_problem="no such file"), 1), (Observation(engine="starting"), 10_001)],
)
def test_an_engine_that_cannot_start_fails_the_deployment(seen: Observation, now_ms: int) -> None:
    done = after(at("starting"), seen, now_ms=now_ms)
    assert done is not None and done[0] == "failed"


def test_no_traffic_proves_nothing_and_pauses_at_the_deadline() -> None:
    silent = Observation(engine="ready")
    assert after(at("ramping"), silent, now_ms=99_000) is None
    done = after(at("ramping"), silent, now_ms=101_000)
    assert done is not None and done[0] == "paused" and "proves nothing" in done[2]


def test_a_pause_at_the_deadline_says_what_was_missing_and_what_to_do() -> None:
    unjudged = Observation(
        engine="ready", candidate=PLENTY, live=PLENTY, harm={"failures": 0.9}, not_worse=HARMLESS | {"quality": 1.0}
    )
    done = after(at("ramping", step=1), unjudged, now_ms=101_000)
    assert done is not None and done[0] == "paused"
    assert "feedback alone never promotes" in done[2] and "flyball judge open" in done[2]
    done = after(at("ramping", step=1), replace(unjudged, harm=FINE), now_ms=101_000)
    assert done is not None and "too little evidence" in done[2]
    assert f"flyball replay {CANARY.release[:12]}" in done[2]


def test_a_mean_alone_never_promotes() -> None:
    better = Observation(engine="ready", candidate=PLENTY, live=replace(PLENTY, good=50), harm=FINE, not_worse=FINE)
    assert after(at("ramping", step=1), better) is None


def test_proof_without_enough_judged_units_never_promotes() -> None:
    few = replace(PLENTY, units=29)
    seen = Observation(engine="ready", candidate=few, live=PLENTY, harm=FINE, not_worse=HARMLESS)
    assert after(at("ramping", step=1), seen) is None


def test_a_canary_climbs_on_units_without_harm_and_goes_live_on_proof() -> None:
    half = replace(PLENTY, units=15)
    seen = Observation(engine="ready", candidate=half, live=PLENTY, harm=FINE, not_worse=FINE)
    assert after(at("ramping"), seen) == ("ramping", 1, "no harm so far")
    proven = replace(seen, candidate=PLENTY, not_worse=HARMLESS)
    assert after(at("ramping"), proven) == ("ramping", 1, "no harm so far")
    done = after(at("ramping", step=1), proven)
    assert done is not None and done[0] == "live"


def test_harm_needs_alpha_shared_among_the_measures() -> None:
    seen = Observation(engine="ready", candidate=PLENTY, live=PLENTY, not_worse=FINE)
    assert after(at("ramping", step=1), replace(seen, harm={"quality": 0.026, "failures": 0.9})) is None
    done = after(at("ramping", step=1), replace(seen, harm={"quality": 0.025, "failures": 0.9}))
    assert done == ("rolled_back", 1, "worse than live in quality")


def test_harm_within_the_margin_is_left_to_a_person() -> None:
    seen = Observation(
        engine="ready", candidate=PLENTY, live=PLENTY, harm={"quality": 0.001, "failures": 1.0}, not_worse=HARMLESS
    )
    done = after(at("ramping", step=1), seen)
    assert done is not None and done[0] == "paused" and "within the margin" in done[2]
    assert after(at("paused", step=1), seen) is None


def test_units_that_are_not_split_as_planned_stop_the_rollout() -> None:
    seen = Observation(engine="ready", candidate=PLENTY, live=PLENTY, not_worse=HARMLESS, sample_ratio=0.0005)
    done = after(at("ramping", step=1), seen)
    assert done is not None and done[0] == "paused" and "split" in done[2]


def test_a_doubt_about_the_figures_pauses_and_is_kept_with_them() -> None:
    seen = Observation(
        engine="ready", candidate=PLENTY, live=PLENTY, not_worse=HARMLESS, doubts=("half answer",), figures={"n": 7}
    )
    done = advance(CANARY, at("ramping", step=1), seen, CONFIG, 1000)
    assert done is not None and done.state == "paused" and "half answer" in str(done.evidence["reason"])
    assert done.evidence["n"] == 7
    assert after(at("paused", step=1), seen) is None


@pytest.mark.parametrize("state", ["ramping", "paused", "live"])
@pytest.mark.parametrize(
    "seen",
    [
        Observation(engine="failed", engine_problem="it crashed"),
        Observation(engine="ready", first_ten_failures=5),
        Observation(engine="ready", outage=True),
    ],
)
def test_what_is_certain_rolls_back_at_once(state: str, seen: Observation) -> None:
    done = after(at(state, step=1), replace(seen, fallback_hot=True))
    assert done is not None and done[0] == "rolled_back"


def test_the_seconds_from_the_first_failure_to_the_rollback_are_evidence() -> None:
    seen = Observation(engine="ready", outage=True, failing_since_ms=500, fallback_hot=True)
    done = advance(BLUE_GREEN, at("live"), seen, CONFIG, 2000)
    assert done is not None and done.evidence["seconds"] == 1.5 and done.evidence["back_to"] == "old"


def test_a_live_release_is_only_rolled_back_while_the_one_before_is_hot() -> None:
    failing = Observation(engine="ready", engine_down="gone", outage=True)
    assert after(at("live"), failing) is None
    assert after(at("live"), replace(failing, fallback_hot=True)) is not None


@pytest.mark.parametrize("state", ["starting", "ramping", "paused"])
def test_a_candidate_ends_when_what_it_was_to_replace_is_taken_back(state: str) -> None:
    seen = Observation(engine="ready", candidate=PLENTY, live=PLENTY, not_worse=HARMLESS, moved_on=True)
    done = after(at(state, step=1), seen)
    assert done is not None and done[0] == "rolled_back" and "not the live one any more" in done[2]


def test_a_replaced_release_is_retired_after_its_delay() -> None:
    seen = Observation(replaced=True, replaced_at_ms=1000, idle=True)
    assert after(at("live"), seen, now_ms=50_999) is None
    done = after(at("live"), seen, now_ms=51_000)
    assert done is not None and done[0] == "retired"


COPIES = Mirrored(requests=60, units=40, cost_usd=1.0, harm=FINE, not_worse=HARMLESS)
SHADOW = replace(CANARY, strategy="shadow", plan=plan_of("shadow", CONFIG))
SHADOW_FIRST = replace(CANARY, strategy="shadow", plan=plan_of("shadow", CONFIG, then="canary", shares=(0.2,)))
TEST_OF_TWO = replace(CANARY, strategy="ab", plan=plan_of("ab", CONFIG))


def test_a_shadow_alone_never_goes_live_by_itself() -> None:
    seen = Observation(engine="ready", mirrored=COPIES)
    done = after(at("ramping"), seen, deployment=SHADOW)
    assert done is not None and done[0] == "paused"
    unproven = replace(seen, mirrored=replace(COPIES, not_worse=FINE))
    assert after(at("ramping"), unproven, deployment=SHADOW) is None


def test_a_shadow_leads_to_the_canary_when_enough_copies_show_no_harm() -> None:
    few = Observation(engine="ready", mirrored=replace(COPIES, units=29))
    assert after(at("ramping"), few, deployment=SHADOW_FIRST) is None
    done = advance(SHADOW_FIRST, at("ramping"), replace(few, mirrored=COPIES), CONFIG, 1000)
    assert done is not None and (done.state, done.step) == ("ramping", 1)
    assert (done.evidence["variant"], done.evidence["share"]) == ("canary", 0.2)
    assert done.evidence["mirrored_units"] == 40 and done.evidence["mirrored_usd"] == 1.0
    canary = after(at("ramping", step=1), replace(few, mirrored=COPIES), deployment=SHADOW_FIRST)
    assert canary is None  # copies say nothing for the canary itself


def test_where_a_program_judges_a_shadow_waits_for_its_verdicts() -> None:
    judge = JudgeConfig(command=("judge",))
    unjudged = Observation(engine="ready", mirrored=COPIES)
    assert after(at("ramping"), unjudged, deployment=SHADOW_FIRST, judge=judge) is None
    enough = replace(unjudged, mirrored=replace(COPIES, judged=30, quality=0.8, live_quality=0.81))
    done = advance(SHADOW_FIRST, at("ramping"), enough, msgspec.structs.replace(CONFIG, judge=judge), 1000)
    assert done is not None and (done.state, done.step) == ("ramping", 1)
    assert [done.evidence[name] for name in ("mirrored_judged", "mirrored_quality", "live_quality")] == [30, 0.8, 0.81]
    assert after(at("ramping"), unjudged, deployment=SHADOW_FIRST, judge=judge, judge_share=0.0) is not None
    late = after(at("ramping"), unjudged, now_ms=101_000, deployment=SHADOW_FIRST, judge=judge)
    assert late is not None and late[0] == "paused" and "whether the judge works" in late[2]


def test_a_shadow_whose_copies_are_worse_is_taken_back() -> None:
    harm = {"failures": 0.9, "latency": 0.001}
    done = after(at("ramping"), Observation(mirrored=replace(COPIES, harm=harm, not_worse=FINE)), deployment=SHADOW)
    assert done == ("rolled_back", 0, "worse than live in latency")
    crashed = Observation(mirrored=Mirrored(first_ten_failures=5))
    done = after(at("ramping"), crashed, deployment=SHADOW)
    assert done == ("rolled_back", 0, "5 of its first ten requests failed")


def test_a_shadow_that_has_cost_what_was_allowed_pauses_and_a_person_may_allow_as_much_again() -> None:
    costly = Observation(mirrored=replace(COPIES, not_worse=FINE, units=1, cost_usd=10.0))
    done = after(at("ramping"), costly, deployment=SHADOW)
    assert done is not None and done[0] == "paused" and "10 USD of 10" in done[2]
    resumed = [*at("ramping"), *at("paused"), *at("ramping")]
    assert shadow_allowance_usd(resumed, steps_of(SHADOW), CONFIG) == 20.0
    assert after(resumed, costly, deployment=SHADOW) is None


def test_a_test_of_two_ends_by_a_persons_choice_or_when_one_fails_more() -> None:
    proven = Observation(engine="ready", candidate=PLENTY, live=PLENTY, harm=FINE, not_worse=HARMLESS)
    assert after(at("ramping"), proven, deployment=TEST_OF_TWO) is None
    disliked = replace(proven, harm={"quality": 0.001, "failures": 0.9})
    assert after(at("ramping"), disliked, deployment=TEST_OF_TWO) is None
    failing = replace(proven, harm={"quality": 0.9, "failures": 0.001}, not_worse=FINE)
    done = after(at("ramping"), failing, deployment=TEST_OF_TWO)
    assert done is not None and done[0] == "rolled_back"
    done = after(at("ramping"), proven, deployment=TEST_OF_TWO, now_ms=101_000)
    assert done is not None and done[0] == "paused" and "flyball promote" in done[2]


def test_the_plan_of_each_strategy_says_its_steps() -> None:
    def steps(strategy: Strategy, **said: object) -> list[tuple[str, float]]:
        plan = plan_of(strategy, CONFIG, **said)  # type: ignore[arg-type]
        made = replace(CANARY, strategy=strategy, plan=plan)
        return [(step.variant, step.share) for step in steps_of(made)]

    assert steps("blue-green") == []
    assert steps("canary") == [("canary", 0.1), ("canary", 0.5)]
    assert steps("canary", shares=(0.05, 0.25)) == [("canary", 0.05), ("canary", 0.25)]
    assert steps("shadow", mirrored=1.0) == [("shadow", 1.0)]
    assert steps("shadow", then="canary", shares=(0.3,)) == [("shadow", 0.2), ("canary", 0.3)]
    assert steps("shadow", then="ab") == [("shadow", 0.2), ("b", 0.5)]
    assert steps("ab", shares=(0.4,)) == [("b", 0.4)]


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("blue-green", {"shares": (0.1,)}),
        ("shadow", {"shares": (0.1,)}),
        ("canary", {"then": "canary"}),
        ("canary", {"mirrored": 0.5}),
    ],
)
def test_what_does_not_belong_to_a_strategy_is_refused(strategy: Strategy, said: dict[str, object]) -> None:
    with pytest.raises(InputError):
        plan_of(strategy, CONFIG, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [[1.0], [0.0], ["half"], [{"variant": "green", "share": 0.1}], [{"share": None}]])
def test_a_plan_that_makes_no_sense_is_refused(steps: object) -> None:
    with pytest.raises(InputError, match="is not a step"):
        steps_of(replace(CANARY, plan={"steps": steps}))


@pytest.mark.parametrize(
    "steps", [[0.5, 0.1], [0.1, 0.1], [0.1, {"variant": "shadow", "share": 1.0}], [{"variant": "b", "share": 0.5}, 0.7]]
)
def test_shares_only_grow_and_a_shadow_comes_first(steps: object) -> None:
    with pytest.raises(InputError, match="cannot follow"):
        check_plan(replace(CANARY, plan={"steps": steps}))


p_values = st.floats(0.0, 1.0)
measures = st.fixed_dictionaries({"quality": p_values, "failures": p_values})
counts = st.builds(ArmCounts, requests=st.integers(0, 99), units=st.integers(0, 99), good=st.integers(0, 99))
copies = st.builds(
    Mirrored,
    requests=st.integers(0, 99),
    first_ten_failures=st.integers(0, 10),
    units=st.integers(0, 99),
    cost_usd=st.floats(0.0, 20.0),
    harm=measures,
    not_worse=measures,
)
observations = st.builds(
    Observation,
    mirrored=copies,
    refusal=st.none() | st.just("no"),
    engine=st.sampled_from(["absent", "starting", "ready", "failed"]),
    engine_down=st.none() | st.just("gone"),
    candidate=counts,
    live=counts,
    first_ten_failures=st.integers(0, 10),
    outage=st.booleans(),
    harm=measures,
    not_worse=measures,
    sample_ratio=p_values,
    fallback_hot=st.booleans(),
    replaced=st.booleans(),
    moved_on=st.booleans(),
    idle=st.booleans(),
)


@given(
    st.sampled_from(sorted(LEGAL)),
    st.integers(0, 1),
    observations,
    st.integers(0, 300_000),
    st.sampled_from(["blue-green", "canary", "shadow", "ab"]),
)
def test_every_step_is_a_legal_one(state: str, step: int, seen: Observation, now_ms: int, strategy: str) -> None:
    deployment = replace(CANARY, strategy=strategy, plan={})  # type: ignore[arg-type]
    done = after(at(state, step=step), seen, now_ms=now_ms, deployment=deployment)
    assert done is None or done[0] in LEGAL[state]  # type: ignore[index]


@given(observations, st.integers(0, 300_000))
def test_nothing_goes_from_a_shadow_or_a_test_of_two_to_live(seen: Observation, now_ms: int) -> None:
    for deployment in (SHADOW, SHADOW_FIRST, TEST_OF_TWO):
        done = after(at("ramping"), seen, now_ms=now_ms, deployment=deployment)
        assert done is None or done[0] != "live"


@given(observations, st.integers(0, 300_000))
def test_a_canary_goes_live_only_on_proof_of_every_measure(seen: Observation, now_ms: int) -> None:
    done = after(at("ramping", step=1), seen, now_ms=now_ms)
    if done is not None and done[0] == "live":
        assert max(seen.not_worse.values()) <= CONFIG.alpha
        assert seen.candidate.units >= CONFIG.min_units and seen.live.units > 0
