"""Where two copies do not fit: refused with the choices, or, where somebody allows it, one after the other."""

from __future__ import annotations

import psutil
import pytest

from control_shop import Shop, passes
from flyball.control.reconcile import step
from flyball.rollout.deploying import rollback
from flyball.serving import placement
from flyball.serving.engines import running_engines
from flyball.storage.deployments import history

SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


class Memory:
    def __init__(self, available: int) -> None:
        self.available = available


@SQLITE
def test_what_does_not_fit_beside_the_live_one_is_refused_and_the_live_one_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = shop.release("one"), shop.release("two", slots=4)
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(placement.PROCESS_BYTES // 2))
    refused = shop.deploy(two)
    passes(context, lambda: shop.states(refused)[-1] == "failed")
    reason = str(history(shop.ledger, refused.id)[-1][0].evidence["reason"])
    assert "beside the live one" in reason and "--allow-downtime" in reason
    assert shop.arms()["live"][::2] == (one, 1)


@SQLITE
def test_allowed_downtime_ends_the_live_one_first_and_a_rollback_brings_it_back(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    shop.deploy(two, downtime=True)
    together = []

    def arrived() -> bool:
        together.append({engine.release for engine in running_engines(context.run_dir)})
        return shop.arms()["live"][::2] == (two, 1)

    passes(context, arrived)
    assert {one, two} not in together and {one} in together and set() in together
    for _ in range(5):
        step(context)
    assert {engine.release for engine in running_engines(context.run_dir)} == {two}  # nothing is kept hot beside it
    rollback(shop.ledger, "shop", requested_by="somebody", reason="a test")
    passes(context, lambda: shop.arms()["live"][::2] == (one, 1))


@SQLITE
def test_one_that_cannot_start_after_the_live_one_ended_brings_the_live_one_back(shop: Shop) -> None:
    one, bad = shop.release("one"), shop.release("bad", corrupt=True)
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    broken = shop.deploy(bad, downtime=True)
    passes(context, lambda: shop.states(broken)[-1] == "failed")
    passes(context, lambda: shop.arms()["live"][::2] == (one, 1))
    assert shop.live() == one
    assert [engine.release for engine in running_engines(context.run_dir)] == [one]
