"""The rollout machine: what it does, and what it never does, whatever it observes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import deployment_record
from flyball.errors import InputError
from flyball.records import Deployment, Transition
from flyball.rollout.config import RolloutConfig
from flyball.rollout.machine import LEGAL, ArmCounts, History, Observation, advance
from flyball.rollout.plans import Step, steps_of

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
        Observation(engine="ready", last_ten_failures=5),
    ],
)
def test_what_is_certain_rolls_back_at_once(state: str, seen: Observation) -> None:
    done = after(at(state, step=1), replace(seen, fallback_hot=True))
    assert done is not None and done[0] == "rolled_back"


def test_the_seconds_from_the_first_failure_to_the_rollback_are_evidence() -> None:
    seen = Observation(engine="ready", last_ten_failures=6, failing_since_ms=500, fallback_hot=True)
    done = advance(BLUE_GREEN, at("live"), seen, CONFIG, 2000)
    assert done is not None and done.evidence["seconds"] == 1.5 and done.evidence["back_to"] == "old"


def test_a_live_release_is_only_rolled_back_while_the_one_before_is_hot() -> None:
    failing = Observation(engine="ready", engine_down="gone", last_ten_failures=10, failing=0.0)
    assert after(at("live"), failing) is None
    assert after(at("live"), replace(failing, fallback_hot=True)) is not None


def test_a_replaced_release_is_retired_after_its_delay() -> None:
    seen = Observation(replaced=True, replaced_at_ms=1000, idle=True)
    assert after(at("live"), seen, now_ms=50_999) is None
    done = after(at("live"), seen, now_ms=51_000)
    assert done is not None and done[0] == "retired"


def test_a_shadow_or_a_test_of_two_never_goes_live_by_itself() -> None:
    proven = Observation(engine="ready", candidate=PLENTY, live=PLENTY, harm=FINE, not_worse=HARMLESS)
    shadow = replace(CANARY, strategy="shadow", plan={})
    done = after(at("ramping"), proven, deployment=shadow)
    assert done is not None and done[0] == "paused"
    assert after(at("ramping"), proven, deployment=replace(CANARY, strategy="ab", plan={})) is None


def test_a_shadow_may_be_followed_by_a_canary() -> None:
    plan = {"steps": [{"variant": "shadow", "share": 1.0}, {"variant": "canary", "share": 0.2}]}
    assert steps_of(replace(CANARY, strategy="shadow", plan=plan)) == (
        Step(variant="shadow", share=1.0),
        Step(variant="canary", share=0.2),
    )


@pytest.mark.parametrize("steps", [[1.0], [0.0], ["half"], [{"variant": "green", "share": 0.1}], [{"share": None}]])
def test_a_plan_that_makes_no_sense_is_refused(steps: object) -> None:
    with pytest.raises(InputError, match="is no step"):
        steps_of(replace(CANARY, plan={"steps": steps}))


p_values = st.floats(0.0, 1.0)
measures = st.fixed_dictionaries({"quality": p_values, "failures": p_values})
counts = st.builds(ArmCounts, requests=st.integers(0, 99), units=st.integers(0, 99), good=st.integers(0, 99))
observations = st.builds(
    Observation,
    refusal=st.none() | st.just("no"),
    engine=st.sampled_from(["absent", "starting", "ready", "failed"]),
    engine_down=st.none() | st.just("gone"),
    candidate=counts,
    live=counts,
    first_ten_failures=st.integers(0, 10),
    last_ten_failures=st.integers(0, 10),
    harm=measures,
    not_worse=measures,
    sample_ratio=p_values,
    failing=p_values,
    fallback_hot=st.booleans(),
    replaced=st.booleans(),
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
def test_a_canary_goes_live_only_on_proof_of_every_measure(seen: Observation, now_ms: int) -> None:
    done = after(at("ramping", step=1), seen, now_ms=now_ms)
    if done is not None and done[0] == "live":
        assert max(seen.not_worse.values()) <= CONFIG.alpha
        assert seen.candidate.units >= CONFIG.min_units and seen.live.units > 0
