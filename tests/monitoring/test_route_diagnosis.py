"""Why nothing is served, with the command that changes it: for each place where the loop can stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_shop import decision_for
from flyball.monitoring.route_diagnosis import missing_on, nothing_serves
from flyball.records import Check, Deployment, Release, Transition, Verdict, name_of
from flyball.records.build import DatasetVersion, SplitRef
from flyball.records.identity import short, uuid7
from flyball.storage.deployments import add_transition, move_pointer
from flyball.storage.ledger import Ledger
from tiny_gguf import tiny_release

DATASET = DatasetVersion(
    project="shop",
    task="classification",
    settings="s" * 64,
    parents=(),
    sources=(),
    splits=(SplitRef(name="train", rows=1, content_hash="a" * 64),),
    labels=(),
    rows_in=1,
    dropped={},
    changed={},
    redaction="default",
)


def released(ledger: Ledger, prompt: str = "one") -> str:
    release: Release = tiny_release(system_prompt=prompt, model="f" * 64)
    ledger.append(release)
    return name_of(release)


def deployed(ledger: Ledger, release: str, *states: str, reason: str = "a reason", route: str = "shop") -> Deployment:
    deployment = Deployment(
        id=uuid7(),
        project="shop",
        route=route,
        release=release,
        decision="d" * 64,
        strategy="blue-green",
        plan={},
        replaces=None,
        requested_by="local",
        reason="",
    )
    ledger.append(deployment)
    with ledger.begin() as connection:
        for step, state in enumerate(states):
            one = Transition(deployment=deployment.id, state=state, step=step, evidence={"reason": reason})  # type: ignore[arg-type]
            add_transition(connection, "shop", one, epoch=1)
        if states and states[-1] == "live":
            move_pointer(connection, "shop", route, release=release, deployment=deployment.id)
    return deployment


def told(ledger: Ledger) -> str:
    return str(missing_on(ledger, "shop"))


def test_nothing_built(ledger: Ledger) -> None:
    assert told(ledger) == "nothing was built yet: `flyball run` builds, gates and deploys a release"


def test_a_build_that_came_to_no_release(ledger: Ledger) -> None:
    ledger.append(DATASET)
    assert told(ledger) == "the build has not come to a release yet: `flyball run` goes on with it"


def test_a_release_that_was_not_gated(ledger: Ledger) -> None:
    name = short(released(ledger))
    assert told(ledger) == f"release {name} was built but not gated: `flyball run` gates and deploys it"


@pytest.mark.parametrize(("verdict", "words"), [("fail", "failed the gate"), ("inconclusive", "inconclusive on")])
def test_a_release_that_the_gate_held_back_with_the_check_that_did(
    ledger: Ledger, verdict: Verdict, words: str
) -> None:
    release = released(ledger)
    check = Check(
        measure="exact_match",
        suite="test",
        rule="at_least",
        threshold=0.6,
        value=0.65,
        bound=0.412,
        n=80,
        verdict=verdict,
        reason="",
        needed_n=400 if verdict == "inconclusive" else None,
    )
    held = replace(check, verdict="pass", measure="macro_f1")
    ledger.append(replace(decision_for(release, verdict=verdict), checks=(held, check)))
    said = told(ledger)
    assert (
        words in said
        and "exact_match on test at least 0.6, value 0.65, bound 0.412, n 80" in said
        and "`flyball run`" in said
    )
    assert ("about 400 cases" in said) == (verdict == "inconclusive")


def test_a_release_that_passed_and_was_not_deployed(ledger: Ledger) -> None:
    release = released(ledger)
    ledger.append(decision_for(release))
    name = short(release)
    assert told(ledger) == f"release {name} passed the gate but is not deployed: `flyball deploy {name}`"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((), "waits to be started"),
        (("requested",), "waits to be started"),
        (("requested", "starting"), "is being started"),
        (("requested", "starting", "failed"), "failed: `flyball status` says why"),
        (("requested", "starting", "paused"), "is paused: `flyball resume`"),
    ],
)
def test_a_deployment_that_is_not_live(ledger: Ledger, states: tuple[str, ...], words: str) -> None:
    release = released(ledger)
    ledger.append(decision_for(release))
    deployed(ledger, release, *states, reason="the engine said: where is my parcel?")
    missing = missing_on(ledger, "shop")
    assert missing is not None and words in str(missing)
    assert "parcel" not in str(missing), "an engine's words are for who runs it"
    assert ("parcel" in missing.detail) == (len(states) > 1)


def test_a_newer_release_counts_where_an_older_one_failed(ledger: Ledger) -> None:
    old = released(ledger)
    deployed(ledger, old, "requested", "failed")
    new = released(ledger, "two")
    ledger.append(decision_for(new))
    assert f"`flyball deploy {short(new)}`" in told(ledger)
    deployed(ledger, old, "requested")
    assert f"release {short(old)} waits to be started" in told(ledger)


def test_where_something_is_live_nothing_is_missing(ledger: Ledger) -> None:
    assert nothing_serves(ledger, "shop") is not None
    deployed(ledger, released(ledger), "requested", "starting", "live", route="other")
    assert missing_on(ledger, "shop") is not None and nothing_serves(ledger, "shop") is None
    deployed(ledger, released(ledger, "two"), "requested", "starting", "live")
    assert missing_on(ledger, "shop") is None
