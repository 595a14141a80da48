"""Two hosts, each with all of `flyball up`, on one PostgreSQL without Kubernetes; one of them loses its power."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

import whole_hosts
from flyball.rollout.deployments import rollback
from flyball.security.principals import create_key
from outages import database
from served import Served, add_release, make_project
from whole_hosts import Clients, eventually, kill_all, recorded, twin


@pytest.mark.long  # pass by pass in tests/control/test_hosts.py
def test_hosts_follow_one_pointer_and_the_loss_of_one_is_neither_noticed_nor_forgotten(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(database()).url
        here = make_project(tmp_path / "here", ledger_url=url, rollout={"scale_down_delay_s": 600.0})
        stack.callback(here.close)
        first, second = (add_release(here, prompt, slots=2) for prompt in ("first", "second"))
        _, secret = create_key(here.ledger, name="app")
        there = twin(here, tmp_path / "there")
        stack.callback(there.close)

        one, two = Served(here), stack.enter_context(Served(there))
        stack.enter_context(one)
        one.go_live(first)
        mine, theirs = Clients(one, secret), Clients(two, secret)
        eventually(lambda: mine.answered_by(first) and theirs.answered_by(first), timeout_s=30)
        assert len(one.engines()) == len(two.engines()) == 1  # each host has its own

        kill_all(one)
        before = len(theirs.failures)
        deployment = two.deploy(second)
        eventually(lambda: theirs.answered_by(second), timeout_s=30)  # who is left leads, and waits for nobody
        assert len(theirs.failures) == before
        assert deployment.release == second

        again = stack.enter_context(Served(here))  # the power is back
        mine_again = Clients(again, secret)
        eventually(lambda: mine_again.answered_by(second), timeout_s=30)

        rollback(here.ledger, whole_hosts.NAME, requested_by="local", reason="a test")
        took = eventually(lambda: theirs.answered_by(first, times=1), timeout_s=10)
        took = max(took, eventually(lambda: mine_again.answered_by(first, times=1), timeout_s=10))
        assert took < 3.0
        assert theirs.answered_by(first) and mine_again.answered_by(first)

        acknowledged = {*mine.answered, *theirs.answered, *mine_again.answered}
        eventually(lambda: acknowledged <= recorded(here).keys(), timeout_s=20)  # those of the lost host too
        assert set(recorded(here).values()) == {1}
