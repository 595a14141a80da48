"""Asking for deployments and taking them back: who is refused, and what each answer says."""

from __future__ import annotations

import pytest

from flyball.errors import InputError, NotFoundError, RefusedError
from flyball.records import Deployment, GateDecision, Transition, name_of
from flyball.rollout.deployments import promote, request_deployment, resume, rollback
from flyball.rollout.transitions import store
from flyball.storage import leases, tables
from flyball.storage.deployments import history, pointer
from flyball.storage.ledger import Ledger, now_ms
from tiny_gguf import tiny_release

COMPARES = {"rules": [{"measure": "exact_match", "not_worse_than_live": 0.03}]}


def decide(
    ledger: Ledger, release: str, *, verdict: str = "pass", baseline: str | None = None, report: str = "e"
) -> None:
    ledger.append(
        GateDecision(
            project="shop",
            release=release,
            report=report * 64,
            baseline_release=baseline,
            baseline_report=None,
            policy=COMPARES,
            alpha=0.05,
            checks=(),
            verdict=verdict,  # type: ignore[arg-type]
        )
    )


def composed(ledger: Ledger, prompt: str) -> str:
    release = tiny_release(system_prompt=prompt)
    ledger.append(release)
    return name_of(release)


def ask(ledger: Ledger, release: str) -> Deployment:
    return request_deployment(
        ledger,
        project="shop",
        route="shop",
        release=release,
        strategy="blue-green",
        plan={},
        requested_by="local",
        reason="a test",
    )


def move(ledger: Ledger, deployment: Deployment, *states: str) -> None:
    lease = leases.acquire(ledger, "control:shop", holder="here", ttl_s=60)
    assert lease is not None
    for state in states:
        step = Transition(deployment=deployment.id, state=state, step=0, evidence={})  # type: ignore[arg-type]
        assert store(ledger, lease, deployment, step, after=history(ledger, deployment.id)[-1][0])


def go_live(ledger: Ledger, prompt: str) -> Deployment:
    release = composed(ledger, prompt)
    at = pointer(ledger, "shop")
    decide(ledger, release, baseline=at.live_release if at else None)
    deployment = ask(ledger, release)
    move(ledger, deployment, "starting", "live")
    return deployment


def test_without_a_decision_nothing_is_deployed(ledger: Ledger) -> None:
    with pytest.raises(RefusedError, match="no gate has decided") as caught:
        ask(ledger, composed(ledger, "one"))
    assert "flyball gate" in caught.value.cure


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_only_a_pass_is_deployed(ledger: Ledger, verdict: str) -> None:
    release = composed(ledger, "one")
    decide(ledger, release, verdict=verdict)
    with pytest.raises(RefusedError, match=f"did not pass release .*: {verdict}"):
        ask(ledger, release)


def test_the_newest_decision_counts(ledger: Ledger) -> None:
    release = composed(ledger, "one")
    decide(ledger, release)
    decide(ledger, release, verdict="fail", report="f")
    with pytest.raises(RefusedError, match="did not pass"):
        ask(ledger, release)


def test_a_decision_against_a_release_that_is_no_longer_live_is_stale(ledger: Ledger) -> None:
    late = composed(ledger, "late")
    decide(ledger, late)
    go_live(ledger, "one")
    with pytest.raises(RefusedError, match="is live now") as caught:
        ask(ledger, late)
    assert "compares with what is live" in caught.value.cure


def test_a_release_that_erasure_reached_is_refused(ledger: Ledger) -> None:
    release = composed(ledger, "one")
    decide(ledger, release)
    with ledger.begin() as connection:
        connection.execute(
            tables.erasures.insert().values(
                project="shop",
                subject="s",
                old=tiny_release().model,
                new=None,
                effect="marked",
                receipt="r",
                at_ms=now_ms(),
            )
        )
    with pytest.raises(RefusedError, match="an erasure reached"):
        ask(ledger, release)


def test_asking_twice_is_asking_once_also_when_it_is_live(ledger: Ledger) -> None:
    release = composed(ledger, "one")
    decide(ledger, release)
    first = ask(ledger, release)
    assert ask(ledger, release) == first
    move(ledger, first, "starting", "live")
    assert ask(ledger, release) == first


def test_a_second_deployment_waits_for_the_first(ledger: Ledger) -> None:
    one, two = composed(ledger, "one"), composed(ledger, "two")
    decide(ledger, one)
    decide(ledger, two)
    first = ask(ledger, one)
    with pytest.raises(RefusedError, match=f"deployment {first.id} .* is still under way"):
        ask(ledger, two)


def test_rollback_takes_back_what_is_under_way_and_leaves_the_live_one(ledger: Ledger) -> None:
    live = go_live(ledger, "one")
    two = composed(ledger, "two")
    decide(ledger, two, baseline=live.release)
    under_way = ask(ledger, two)
    assert rollback(ledger, "shop", requested_by="ann", reason="changed my mind").deployment == under_way.id
    at = pointer(ledger, "shop")
    assert at is not None and at.live_deployment == live.id
    assert history(ledger, under_way.id)[-1][0].evidence["by"] == "ann"


def test_rollbacks_go_further_back_each_time_and_never_to_what_was_taken_back(ledger: Ledger) -> None:
    one, two, three = (go_live(ledger, name) for name in ("one", "two", "three"))
    for target in (two, one):
        rollback(ledger, "shop", requested_by="local", reason="a test")
        at = pointer(ledger, "shop")
        assert at is not None and (at.live_release, at.live_deployment) == (target.release, target.id)
    with pytest.raises(RefusedError, match="no release before this one"):
        rollback(ledger, "shop", requested_by="local", reason="a test")
    assert history(ledger, three.id)[-1][0].state == "rolled_back"


def test_a_release_that_was_scaled_down_is_started_again_by_a_rollback(ledger: Ledger) -> None:
    one = go_live(ledger, "one")
    two = go_live(ledger, "two")
    move(ledger, one, "retired")
    asked = rollback(ledger, "shop", requested_by="local", reason="a test")
    deployment = ledger.get(asked.deployment).record
    assert isinstance(deployment, Deployment)
    assert (asked.state, deployment.release, deployment.replaces) == ("requested", one.release, two.id)
    at = pointer(ledger, "shop")
    assert at is not None and at.live_release == two.release  # until the other one answers
    move(ledger, deployment, "starting", "live")
    rollback(ledger, "shop", requested_by="local", reason="there and back")
    at = pointer(ledger, "shop")
    assert at is not None and at.live_release == two.release


def test_nothing_to_roll_back_is_said(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="nothing is live"):
        rollback(ledger, "shop", requested_by="local", reason="a test")


def test_a_paused_deployment_goes_on_or_goes_live_by_a_persons_word_alone(ledger: Ledger) -> None:
    go_live(ledger, "one")
    two = composed(ledger, "two")
    decide(ledger, two, baseline=pointer(ledger, "shop").live_release)  # type: ignore[union-attr]
    deployment = ask(ledger, two)
    with pytest.raises(InputError, match="is requested, not ramping or paused"):
        promote(ledger, deployment.id, requested_by="ann", reason="I looked at it")
    move(ledger, deployment, "starting", "ramping", "paused")
    assert resume(ledger, deployment.id, requested_by="ann", reason="look again").state == "ramping"
    move(ledger, deployment, "paused")
    promote(ledger, deployment.id, requested_by="ann", reason="I looked at it")
    at = pointer(ledger, "shop")
    assert at is not None and at.live_release == two
    assert history(ledger, deployment.id)[-1][0].evidence == {"by": "ann", "reason": "I looked at it"}
