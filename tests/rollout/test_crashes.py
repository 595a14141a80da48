"""The rollout machine on a real ledger, with a crash between any two steps and a stale holder that will not let go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from flyball.errors import FlyballError, LockedError, RefusedError
from flyball.records import Deployment, GateDecision, Transition, name_of
from flyball.records.identity import uuid7
from flyball.rollout.admission import refusal
from flyball.rollout.config import RolloutConfig
from flyball.rollout.deploying import promote, request_deployment, resume, rollback
from flyball.rollout.machine import LEGAL, ArmCounts, Observation, advance
from flyball.rollout.storing import live_deployments, store
from flyball.storage import leases, tables
from flyball.storage.deployments import history, open_deployments, pointer
from flyball.storage.leases import Lease
from flyball.storage.ledger import Ledger
from tiny_gguf import tiny_release

CONFIG = RolloutConfig(min_units=10, scale_down_delay_s=5.0, deadline_s=50.0, ready_timeout_s=20.0)
PLENTY = ArmCounts(requests=50, units=50, good=45)


class Crash(Exception):
    """The process is gone: kill -9."""


class Mortal(Ledger):
    """A ledger whose process can be killed just before or just after a transaction is on disk."""

    dies: str | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        dies, self.dies = self.dies, None
        with super().begin() as connection:
            yield connection
            if dies == "before":
                raise Crash
        if dies == "after":
            raise Crash


class Rollouts(RuleBasedStateMachine):
    """One route under arbitrary requests, observations, people, crashes and rivals."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = Mortal(ledger.engine, project=ledger.project)
        self.route = uuid7()
        self.clock_ms = 0
        self.ever_live = False
        self.stale: list[Lease] = []
        self.lease = self.take_over()

    def take_over(self) -> Lease:
        """A new control process, with the name of the one that died."""
        lease = leases.acquire(self.ledger, f"control:{self.route}", holder="here", ttl_s=3600)
        assert lease is not None
        return lease

    def revive(self) -> None:
        self.stale.append(self.lease)
        self.lease = self.take_over()

    def deployments(self) -> list[Deployment]:
        found = [*live_deployments(self.ledger), *(stored.record for stored in open_deployments(self.ledger))]
        return [one for one in found if isinstance(one, Deployment) and one.route == self.route]

    @rule(
        strategy=st.sampled_from(["blue-green", "canary", "shadow", "ab"]),
        dies=st.sampled_from([None, None, "before", "after"]),
    )
    def ask(self, strategy: str, dies: str | None) -> None:
        release = tiny_release(system_prompt=uuid7())
        self.ledger.append(release)
        self.ledger.append(decision(name_of(release), "pass"))
        self.ledger.dies = dies
        with suppress(RefusedError, Crash):
            request_deployment(
                self.ledger,
                project="shop",
                route=self.route,
                release=name_of(release),
                strategy=strategy,  # type: ignore[arg-type]
                plan={},
                requested_by="somebody",
                reason="a test",
            )
        self.ledger.dies = None

    @rule()
    def ask_for_one_that_failed_its_gate(self) -> None:
        release = tiny_release(system_prompt=uuid7())
        self.ledger.append(release)
        self.ledger.append(decision(name_of(release), "fail"))
        with pytest.raises(RefusedError):
            request_deployment(
                self.ledger,
                project="shop",
                route=self.route,
                release=name_of(release),
                strategy="blue-green",
                plan={},
                requested_by="somebody",
                reason="a test",
            )

    @rule(
        engine=st.sampled_from(["starting", "ready", "ready", "ready", "failed"]),
        failures=st.sampled_from([0, 0, 0, 10]),
        harm=st.sampled_from([0.9, 0.9, 0.001]),
        not_worse=st.sampled_from([0.01, 0.01, 0.9]),
        seconds=st.integers(0, 30),
        dies=st.sampled_from([None, None, None, "before", "after"]),
    )
    def control_pass(
        self, engine: str, failures: int, harm: float, not_worse: float, seconds: int, dies: str | None
    ) -> None:
        self.clock_ms += seconds * 1000
        seen = Observation(
            engine=engine,  # type: ignore[arg-type]
            candidate=PLENTY,
            live=PLENTY,
            last_ten_failures=failures,
            harm={"quality": harm},
            not_worse={"quality": not_worse},
        )
        self.ledger.dies = dies
        try:
            for deployment in self.deployments():
                self.step(deployment, seen)
        except Crash:
            self.revive()
        self.ledger.dies = None

    def step(self, deployment: Deployment, seen: Observation) -> None:
        done = history(self.ledger, deployment.id)
        now = done[-1][1] + self.clock_ms
        at = pointer(self.ledger, self.route)
        before = [one.id for one in live_deployments(self.ledger)]
        seen = replace(
            seen,
            refusal=refusal(self.ledger, deployment, live=at.live_release if at else None),
            fallback_hot=deployment.replaces in before,
            replaced=bool(at and at.live_deployment != deployment.id),
            idle=True,
        )
        transition = advance(deployment, done, seen, CONFIG, now)
        if transition is not None:
            store(self.ledger, self.lease, deployment, transition, after=done[-1][0])

    @precondition(lambda self: self.stale and self.deployments())
    @rule()
    def a_holder_that_was_thought_dead_writes_nothing(self) -> None:
        deployment = self.deployments()[0]
        done = history(self.ledger, deployment.id)
        for state in sorted(LEGAL[done[-1][0].state]):
            step = Transition(deployment=deployment.id, state=state, step=0, evidence={})
            with pytest.raises(LockedError):
                store(self.ledger, self.stale[-1], deployment, step, after=done[-1][0])
        assert history(self.ledger, deployment.id) == done

    @precondition(lambda self: self.deployments())
    @rule()
    def a_decision_on_old_sights_is_not_stored(self) -> None:
        deployment = self.deployments()[0]
        done = history(self.ledger, deployment.id)
        step = Transition(deployment=deployment.id, state="rolled_back", step=0, evidence={})
        other = Transition(deployment=deployment.id, state="starting", step=77, evidence={})
        assert not store(self.ledger, self.lease, deployment, step, after=other)
        assert history(self.ledger, deployment.id) == done

    @rule(dies=st.sampled_from([None, "before", "after"]), act=st.sampled_from(["rollback", "resume", "promote"]))
    def a_person_decides(self, dies: str | None, act: str) -> None:
        paused = self.deployments()
        self.ledger.dies = dies
        with suppress(FlyballError, Crash):
            if act == "rollback":
                rollback(self.ledger, self.route, requested_by="somebody", reason="a test")
            elif paused:
                {"resume": resume, "promote": promote}[act](
                    self.ledger, paused[-1].id, requested_by="somebody", reason="a test"
                )
        self.ledger.dies = None

    @invariant()
    def what_was_live_once_is_never_lost(self) -> None:
        at = pointer(self.ledger, self.route)
        if at is None:
            assert not self.ever_live
            return
        self.ever_live = True
        assert at.live_deployment and at.live_release
        done = history(self.ledger, at.live_deployment)
        assert done[-1][0].state == "live"
        deployment = self.ledger.get(at.live_deployment).record
        assert isinstance(deployment, Deployment) and deployment.release == at.live_release
        admitted = self.ledger.get(deployment.decision).record
        assert isinstance(admitted, GateDecision)
        assert (admitted.verdict, admitted.release) == ("pass", at.live_release)

    @invariant()
    def one_deployment_is_under_way_at_most(self) -> None:
        under_way = [one for one in self.deployments() if history(self.ledger, one.id)[-1][0].state != "live"]
        assert len(under_way) <= 1

    def teardown(self) -> None:
        for deployment in self.every_deployment():
            states = [transition.state for transition, _ in history(self.ledger, deployment)]
            assert states[0] == "requested"
            for one, following in pairwise(states):
                assert following in LEGAL[one], states

    def every_deployment(self) -> list[str]:
        with self.ledger.read() as connection:
            names = connection.execute(select(tables.transitions.c.deployment).distinct()).scalars().all()
        return [
            name
            for name in names
            if isinstance(one := self.ledger.get(name).record, Deployment) and one.route == self.route
        ]


def decision(release: str, verdict: str) -> GateDecision:
    return GateDecision(
        project="shop",
        release=release,
        report="e" * 64,
        baseline_release=None,
        baseline_report=None,
        policy={"rules": []},
        alpha=0.05,
        checks=(),
        verdict=verdict,  # type: ignore[arg-type]
    )


def test_no_crash_rival_or_person_can_lose_the_last_good_release(ledger: Ledger) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Rollouts(ledger), settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )
