"""Several hosts on one PostgreSQL: each with engines and routes of its own, one of them deciding for all.

A host is a folder here: its own engines, artefacts, routing table and control process; only the ledger is shared.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from control_shop import Shop
from flyball.control import reconciler
from flyball.control.context import ControlContext
from flyball.control.reconciler import hand_over, step
from flyball.errors import EnvironmentMissing
from flyball.records import Release
from flyball.rollout.deployments import rollback
from flyball.serving.engine_processes import running_engines, stop_all
from flyball.serving.gpu_room import NoRoom
from flyball.storage import tables
from flyball.storage.deployments import history
from flyball.storage.hosts import known_hosts

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from control_shop import Shop
from flyball.control.loop import run_control
from flyball.storage.ledger import open_ledger
shop = Shop(ledger=open_ledger(sys.argv[2], project="shop"), root=Path(sys.argv[3]))
run_control(shop.control(holder=sys.argv[3]))
"""


@pytest.fixture
def there(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The second host; `shop` is the first."""
    made = Shop(ledger=shop.ledger, root=tmp_path / "there")
    yield made
    for context in made.made:
        context.background.join(10)
    stop_all(made.root / "run", grace_s=0.2)


def on_both(one: Shop, two: Shop, name: str, **engine: object) -> str:
    """A release whose artefact is on both hosts."""
    made = {host.release(name, **engine) for host in (one, two)}
    assert len(made) == 1
    return made.pop()


def passes_of(contexts: list[ControlContext], until: Callable[[], bool], *, seconds: float = 30.0) -> float:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "it never came"
        for context in contexts:
            step(context)
        time.sleep(0.02)
    return time.monotonic() - began


def serves(host: Shop, release: str) -> bool:
    return host.arms()["live"][::2] == (release, 1)


def test_both_hosts_serve_what_one_of_them_decides_each_from_its_own_engine(shop: Shop, there: Shop) -> None:
    one, two = on_both(shop, there, "one"), on_both(shop, there, "two")
    both = [shop.control(holder="here"), there.control(holder="there")]
    shop.deploy(one)
    passes_of(both, lambda: serves(shop, one) and serves(there, one))
    assert [context.memory.lease is not None for context in both] == [True, False]
    addresses = {host.routes.routes[0].arms[0].endpoints[0].url for host in (shop, there)}
    assert len(addresses) == 2
    there.deploy(two)  # asked for on the host that stands by
    passes_of(both, lambda: serves(shop, two) and serves(there, two))
    rollback(shop.ledger, "shop", requested_by="somebody", reason="a test")
    assert passes_of(both, lambda: serves(shop, one) and serves(there, one)) < 1.5


def test_nothing_goes_live_before_every_host_is_ready(shop: Shop, there: Shop) -> None:
    one = on_both(shop, there, "one")
    here, other = shop.control(holder="here"), there.control(holder="there")
    step(here)
    passes_of([other], lambda: len(known_hosts(shop.ledger)) == 2)
    deployment = shop.deploy(one)
    passes_of([here], lambda: any(engine.ready for engine in running_engines(here.run_dir)))
    for _ in range(10):
        step(here)
    assert shop.states(deployment)[-1] == "starting"  # the other has said that it is there, and not that it is ready
    passes_of([here, other], lambda: shop.live() == one)


def test_a_release_that_cannot_start_on_one_host_is_live_on_none(shop: Shop, there: Shop) -> None:
    one, two = on_both(shop, there, "one"), on_both(shop, there, "two")
    both = [shop.control(holder="here"), there.control(holder="there")]
    shop.deploy(one)
    passes_of(both, lambda: serves(shop, one) and serves(there, one))
    there.store.delete(there.store.names()[0])
    failed = shop.deploy(two)
    passes_of(both, lambda: shop.states(failed)[-1] == "failed")
    reason = str(history(shop.ledger, failed.id)[-1][0].evidence["reason"])
    assert "on there: no artefact" in reason and "dvc pull" in reason
    assert serves(shop, one) and serves(there, one)


def test_a_release_for_which_one_host_is_too_small_is_live_on_none(
    shop: Shop, there: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = on_both(shop, there, "one"), on_both(shop, there, "two")
    both = [shop.control(holder="here"), there.control(holder="there")]
    shop.deploy(one)
    passes_of(both, lambda: serves(shop, one) and serves(there, one))
    asked = []

    def require(release: Release, artifact: Path, *, replicas: int, **_: object) -> None:
        asked.append((artifact.parents[1].name, replicas))
        if artifact.is_relative_to(there.root):
            raise NoRoom("the release's vLLM takes 0.9 of GPU 0", cure="choose: another GPU")

    monkeypatch.setattr("flyball.control.capacity.require_memory", require)
    failed = shop.deploy(two)
    passes_of(both, lambda: shop.states(failed)[-1] == "failed")
    reason = str(history(shop.ledger, failed.id)[-1][0].evidence["reason"])
    assert "on there: the release's vLLM takes 0.9 of GPU 0" in reason and "choose: another GPU" in reason
    assert asked.count((there.root.name, 1)) == 1, "once is enough, and nothing is started there"
    assert {engine.release for engine in running_engines(there.root / "run")} == {one}
    assert serves(shop, one) and serves(there, one)


def test_a_host_that_leaves_or_falls_silent_is_not_waited_for(
    shop: Shop, there: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.control.hosts.GONE_S", 1.5)
    one, two = on_both(shop, there, "one"), on_both(shop, there, "two")
    three = on_both(shop, there, "three")
    here, other = shop.control(holder="here"), there.control(holder="there")
    shop.deploy(one)
    passes_of([here, other], lambda: serves(shop, one) and serves(there, one))
    shop.deploy(two)  # the other falls silent
    assert passes_of([here], lambda: serves(shop, two)) > 1.0
    assert serves(there, one)  # and goes on with what it knew
    passes_of([here, other], lambda: serves(there, two))  # until it wakes up
    other.background.join(5)
    hand_over(other)
    shop.deploy(three)
    assert passes_of([here], lambda: serves(shop, three)) < 1.5


def test_engines_are_kept_while_the_ledger_is_away(shop: Shop, there: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    one = on_both(shop, there, "one")
    here = shop.control(holder="here")
    shop.deploy(one)
    passes_of([here], lambda: serves(shop, one))
    (before,) = running_engines(here.run_dir)

    def away(_context: ControlContext) -> None:
        raise EnvironmentMissing("the ledger does not answer", cure="start the server")

    with monkeypatch.context() as patched:
        patched.setattr(reconciler, "read_world", away)
        os.kill(before.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not [engine for engine in running_engines(here.run_dir) if engine.ready and engine.id != before.id]:
            with pytest.raises(EnvironmentMissing):
                step(here)
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert serves(shop, one) or passes_of([here], lambda: serves(shop, one)) < 5


def test_when_the_leader_is_killed_another_host_leads_within_seconds(
    shop: Shop, there: Shop, ledger_url: str, tmp_path: Path
) -> None:
    one, two = on_both(shop, there, "one"), on_both(shop, there, "two")
    hosts = {host.root: start(host, ledger_url) for host in (shop, there)}
    try:
        shop.deploy(one)
        wait(lambda: serves(shop, one) and serves(there, one))
        leader = shop if holder(shop).endswith("shop") else there
        follower = there if leader is shop else shop
        hosts[leader.root].kill()
        assert hosts[leader.root].wait(10) == -signal.SIGKILL
        began = time.monotonic()
        shop.deploy(two)
        wait(lambda: serves(follower, two))
        took = time.monotonic() - began
        assert took < 12  # its lease (5 s), its silence (5 s), and the start of an engine
        assert [engine.release for engine in running_engines(leader.root / "run")] == [one]  # it serves what it knew
        hosts[leader.root] = start(leader, ledger_url)
        wait(lambda: serves(leader, two))
    finally:
        for process in hosts.values():
            process.kill()
            process.wait()


def start(host: Shop, ledger_url: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", PROGRAM, str(SUPPORT), ledger_url, str(host.root)]
    with (host.root / "control.log").open("ab") as output:
        return subprocess.Popen(arguments, stdout=output, stderr=output)


def holder(shop: Shop) -> str:
    with shop.ledger.read() as connection:
        return str(connection.execute(select(tables.leases.c.holder)).scalar_one())


def wait(until: Callable[[], bool], seconds: float = 40.0) -> None:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.05)
