"""The control process itself: killed at any moment, it goes on; told to end, it leaves the engines serving."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from control_shop import Shop
from flyball.control.reconciler import step
from flyball.rollout.deployments import rollback
from flyball.serving.engine_processes import running_engines
from flyball.storage import tables

SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
"""Processes are the same on both; rollouts on PostgreSQL are tested pass by pass."""
SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from control_shop import Shop
from sqlalchemy import select
from flyball.control.loop import run_control
from flyball.storage.ledger import open_ledger
run_control(Shop(ledger=open_ledger(sys.argv[2], project="shop"), root=Path(sys.argv[3])).control())
"""


class Controlled:
    """A control process that is started and killed."""

    def __init__(self, shop: Shop, ledger_url: str) -> None:
        self.arguments = [sys.executable, "-c", PROGRAM, str(SUPPORT), ledger_url, str(shop.root)]
        self.log = shop.root / "control.log"
        self.epoch = 0
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.arguments, stdout=output, stderr=output)

    def wait_for_lease(self, shop: Shop) -> None:
        """Until this process has begun to act."""
        wait(lambda: epoch(shop) > self.epoch)
        self.epoch = epoch(shop)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def epoch(shop: Shop) -> int:
    with shop.ledger.read() as connection:
        return connection.execute(select(tables.leases.c.epoch)).scalar_one_or_none() or 0


def wait(until: Callable[[], bool], seconds: float = 30.0) -> float:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.02)
    return time.monotonic() - began


@SQLITE
def test_kill_9_at_any_moment_of_a_deployment_is_survived(shop: Shop, ledger_url: str) -> None:
    shop.root.mkdir(parents=True)
    one, two = shop.release("one"), shop.release("two")
    control = Controlled(shop, ledger_url)
    try:
        shop.deploy(one)
        wait(lambda: shop.live() == one and bool(shop.arms()["live"][2]))
        second = shop.deploy(two)
        rng, deadline = random.Random(3), time.monotonic() + 60
        while shop.states(second)[-1] != "live":
            control.wait_for_lease(shop)
            time.sleep(rng.uniform(0.0, 0.8))
            control.kill()
            assert shop.live() in (one, two) and any(handle.ready for handle in running_engines(shop.root / "run"))
            control.start()
            assert time.monotonic() < deadline
        wait(lambda: shop.arms() == {"live": (two, 1.0, 1), "previous": (one, 0.0, 1)})
        wait(lambda: sorted(handle.release for handle in running_engines(shop.root / "run")) == sorted([one, two]))
        resident_mb = int((Path("/proc") / str(control.process.pid) / "statm").read_text().split()[1]) * 4096 / 1e6
        assert resident_mb < 75, "a control process is small"
        took = rolled_back_within(shop, one)
        assert took < 2.5  # a second is the promise; test machines are busy
    finally:
        control.kill()


def rolled_back_within(shop: Shop, release: str) -> float:
    began = time.monotonic()
    rollback(shop.ledger, "shop", requested_by="local", reason="a test")
    wait(lambda: shop.arms()["live"][0] == release)
    return time.monotonic() - began


@SQLITE
def test_an_orderly_end_leaves_the_engines_serving_and_hands_the_lease_over(shop: Shop, ledger_url: str) -> None:
    shop.root.mkdir(parents=True)
    one = shop.release("one")
    control = Controlled(shop, ledger_url)
    try:
        shop.deploy(one)
        wait(lambda: shop.live() == one and bool(shop.arms()["live"][2]))
        os.kill(control.process.pid, signal.SIGTERM)
        assert control.process.wait(10) == 0
        assert [handle.release for handle in running_engines(shop.root / "run")] == [one]
        other = shop.control(holder="another host")
        assert step(other)
    finally:
        control.kill()
