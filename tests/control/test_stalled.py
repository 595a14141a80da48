"""An engine that stalls is found and replaced although nobody asks it anything."""

from __future__ import annotations

import os
import signal

import pytest

from control_shop import Shop, passes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import running_engines

SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


@SQLITE
def test_a_stalled_engine_without_traffic_is_replaced_within_seconds(shop: Shop) -> None:
    release = shop.release("one")
    context = shop.control()
    context.serving = ServingConfig()  # the looks of a user who set nothing
    shop.deploy(release)
    passes(context, lambda: shop.arms()["live"][::2] == (release, 1))
    (stalled,) = running_engines(context.run_dir)
    passes(context, lambda: stalled.id in context.memory.engines.loads)
    os.kill(stalled.pid, signal.SIGSTOP)
    took = passes(context, lambda: stalled.id not in {one.id for one in running_engines(context.run_dir)})
    assert took < 5.0
    passes(context, lambda: [one.id for one in running_engines(context.run_dir) if one.ready] not in ([], [stalled.id]))
    assert "has not answered 2 looks in a row" in context.memory.releases.problems[release]
    assert shop.arms()["live"][::2] == (release, 1)


@SQLITE
def test_several_releases_have_several_engines_each(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control(replicas=2)
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    shop.deploy(two)
    passes(context, lambda: shop.live() == two)
    engines = running_engines(context.run_dir)
    assert sorted(engine.release for engine in engines) == sorted([one, one, two, two])  # one stays hot behind two
    assert len({engine.url for engine in engines}) == 4
    assert shop.arms()["live"][::2] == (two, 2)
