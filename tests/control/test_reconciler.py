"""The control plane with real engines: what it brings up, takes back, and survives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import pytest

from control_shop import ROLLOUT, Shop, passes
from flyball.control.fleet import Fleet, ReleaseEngines
from flyball.control.reconciler import step
from flyball.errors import RefusedError
from flyball.records import Release
from flyball.rollout.deployments import rollback
from flyball.serving.engine_processes import running_engines
from flyball.storage.deployments import history
from flyball.storage.routing import publish


def test_the_first_release_goes_live_once_its_engine_has_answered(shop: Shop) -> None:
    release = shop.release("one")
    deployment = shop.deploy(release)
    context = shop.control()
    passes(context, lambda: shop.live() == release)
    passes(context, lambda: shop.arms() == {"live": (release, 1.0, 1)})
    assert shop.states(deployment) == ["requested", "starting", "live"]
    evidence = history(shop.ledger, deployment.id)[-1][0].evidence
    assert "answered a real request" in str(evidence["reason"])


def test_the_table_says_why_there_is_no_route_and_why_one_does_not_answer(shop: Shop) -> None:
    context = shop.control()
    step(context)
    assert shop.routes.routes == () and "nothing was built yet: `flyball run`" in shop.routes.missing
    release = shop.release("one")
    context.memory.routes.missing.clear()  # it looks again after a second
    step(context)
    assert f"`flyball deploy {release[:12]}`" in shop.routes.missing
    shop.deploy(release)
    passes(context, lambda: shop.live() == release)
    passes(context, lambda: bool(shop.routes.routes) and shop.routes.routes[0].missing == "")
    assert shop.routes.missing == ""
    for handle in running_engines(context.run_dir):
        os.kill(handle.pid, signal.SIGKILL)
    passes(context, lambda: "no engine of release" in shop.routes.routes[0].missing)
    passes(context, lambda: shop.routes.routes[0].missing == "")


def test_the_old_release_stays_hot_and_a_rollback_is_in_effect_within_a_second(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    second = shop.deploy(two)
    passes(context, lambda: shop.live() == two)
    passes(context, lambda: shop.arms() == {"live": (two, 1.0, 1), "previous": (one, 0.0, 1)})
    began = time.monotonic()
    rollback(shop.ledger, "shop", requested_by="local", reason="a test")
    passes(context, lambda: shop.arms() == {"live": (one, 1.0, 1)})
    assert time.monotonic() - began < 1.0
    assert shop.states(second)[-1] == "rolled_back"
    passes(context, lambda: [handle.release for handle in running_engines(context.run_dir)] == [one])


def test_a_candidate_that_cannot_start_never_touches_the_old_one(shop: Shop) -> None:
    one, broken = shop.release("one"), shop.release("two", corrupt=True)
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    before = running_engines(context.run_dir)
    bad = shop.deploy(broken)
    passes(context, lambda: shop.states(bad)[-1] == "failed")
    evidence = history(shop.ledger, bad.id)[-1][0].evidence
    assert "not within the file bounds" in str(evidence["reason"])
    assert shop.live() == one
    assert running_engines(context.run_dir) == before
    assert shop.arms() == {"live": (one, 1.0, 1)}


@pytest.mark.parametrize("damaged", ["model", "adapter"])
def test_a_file_that_is_not_what_was_packaged_is_never_loaded(shop: Shop, damaged: str) -> None:
    (folder := shop.root / "lora").mkdir(parents=True)
    (folder / "adapter.gguf").write_bytes(b"what was taken in")
    release = shop.release("one", adapter=shop.take_in(folder, "gguf-lora"))
    file = next(shop.store.root.glob(f"*/{damaged}.gguf"))
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    deployment = shop.deploy(release)
    passes(shop.control(), lambda: shop.states(deployment)[-1] == "failed")
    assert "has SHA-256" in str(history(shop.ledger, deployment.id)[-1][0].evidence["reason"])


def test_the_control_plane_refuses_what_got_in_without_a_passing_gate(shop: Shop) -> None:
    from control_shop import decision_for
    from flyball.records import Deployment, Transition, name_of
    from flyball.records.identity import uuid7
    from flyball.storage.deployments import add_transition

    release = shop.release("one", gate="fail")
    with pytest.raises(RefusedError, match="did not pass"):
        shop.deploy(release)
    smuggled = Deployment(
        id=uuid7(),
        project="shop",
        route="shop",
        release=release,
        decision=name_of(decision_for(release, verdict="fail")),
        strategy="blue-green",
        plan={},
        replaces=None,
        requested_by="somebody",
        reason="past the door",
    )
    shop.ledger.append(smuggled)
    with shop.ledger.begin() as connection:
        requested = Transition(deployment=smuggled.id, state="requested", step=0, evidence={})
        add_transition(connection, "shop", requested, epoch=0)
    context = shop.control()
    passes(context, lambda: shop.states(smuggled)[-1] == "failed")
    assert "its gate decision is fail" in str(history(shop.ledger, smuggled.id)[-1][0].evidence["reason"])
    assert running_engines(context.run_dir) == []


def test_a_killed_engine_of_the_only_release_is_restarted(shop: Shop) -> None:
    release = shop.release("one")
    context = shop.control()
    shop.deploy(release)
    passes(context, lambda: shop.live() == release and bool(shop.arms()["live"][2]))
    (first,) = running_engines(context.run_dir)
    os.kill(first.pid, signal.SIGKILL)
    passes(context, lambda: shop.arms()["live"][2] == 0)
    passes(context, lambda: shop.arms()["live"][2] == 1)
    (second,) = running_engines(context.run_dir)
    assert second.id != first.id and shop.live() == release


def test_a_new_release_whose_engine_dies_is_rolled_back_to_the_hot_one(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    second = shop.deploy(two)
    passes(context, lambda: shop.live() == two and bool(shop.arms()["live"][2]))
    (victim,) = [handle for handle in running_engines(context.run_dir) if handle.release == two]
    os.kill(victim.pid, signal.SIGKILL)
    assert passes(context, lambda: shop.live() == one) < 2.0
    assert "its engine is gone" in str(history(shop.ledger, second.id)[-1][0].evidence["reason"])


def test_a_new_control_process_adopts_what_runs_without_a_gap(shop: Shop) -> None:
    release = shop.release("one")
    first = shop.control()
    shop.deploy(release)
    passes(first, lambda: shop.live() == release and bool(shop.arms()["live"][2]))
    table, engines = shop.routes, running_engines(first.run_dir)
    second = shop.control()  # the first was killed: nothing was handed over
    for _ in range(3):
        assert step(second)
        assert shop.routes == table
    assert running_engines(second.run_dir) == engines
    assert second.memory.lease is not None and first.memory.lease != second.memory.lease


def test_a_standby_changes_nothing_while_another_holds_the_lease(shop: Shop) -> None:
    release = shop.release("one")
    assert step(shop.control(holder="here"))
    standby = shop.control(holder="there")
    deployment = shop.deploy(release)
    assert not step(standby)
    assert shop.states(deployment) == ["requested"]


def test_surplus_engines_are_drained_and_only_after_the_routes_let_go(shop: Shop) -> None:
    release = shop.release("one")
    context = shop.control(replicas=2)
    shop.deploy(release)
    passes(context, lambda: shop.live() == release and shop.arms()["live"][2] == 2)
    fewer = shop.control(replicas=1)
    passes(fewer, lambda: len(running_engines(context.run_dir)) == 1)
    assert shop.live() == release


def test_the_old_release_is_retired_after_its_delay_and_its_engine_ends(shop: Shop) -> None:
    from msgspec.structs import replace

    one, two = shop.release("one"), shop.release("two")
    context = shop.control(rollout=replace(ROLLOUT, scale_down_delay_s=0.3))
    first = shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    shop.deploy(two)
    passes(context, lambda: shop.states(first)[-1] == "retired")
    passes(context, lambda: [handle.release for handle in running_engines(context.run_dir)] == [two])
    back = rollback(shop.ledger, "shop", requested_by="local", reason="a test")  # no longer hot: it starts first
    assert back.state == "requested"
    passes(context, lambda: shop.live() == one)


def test_a_routing_table_that_somebody_else_wrote_does_not_stay(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    stale = shop.routes
    shop.deploy(two)
    passes(context, lambda: shop.arms() == {"live": (two, 1.0, 1), "previous": (one, 0.0, 1)})
    version = shop.routes.version
    publish(context.routes_path, stale)  # by a control process that was stopped in mid-pass
    passes(context, lambda: shop.arms() == {"live": (two, 1.0, 1), "previous": (one, 0.0, 1)})
    assert shop.routes.version > stale.version and version > stale.version
    context.routes_path.unlink()
    passes(context, lambda: "previous" in shop.arms())


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_process_that_was_stopped_in_mid_pass_for_longer_than_its_lease_changes_nothing_in_that_pass(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shop.release("one")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    engines, look = running_engines(context.run_dir), Fleet.look

    def sleepy(fleet: Fleet, wanted: Mapping[str, Release]) -> dict[str, ReleaseEngines]:
        context.memory.world_read -= context.lease_ttl_s + 1  # as if it had been stopped here
        return look(fleet, wanted)

    context.routes_path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(Fleet, "look", sleepy)
        assert not step(context)
    assert not context.routes_path.exists() and running_engines(context.run_dir) == engines
    passes(context, context.routes_path.exists)
    assert shop.arms()["live"][::2] == (one, 1)
