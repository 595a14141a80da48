"""The rollout machine on a real ledger, with a crash between any two steps and a stale holder that will not let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from flyball.errors import FlyballError, LockedError, RefusedError
from flyball.records import Deployment, GateDecision, Strategy, Transition, name_of
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


class Rollouts:
    """One route under arbitrary requests, observations, people, crashes and rivals; the promises hold after each."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = Mortal(ledger.engine, project=ledger.project)
        self.route = uuid7()
        self.clock_ms = 0
        self.delay_is_over = False
        self.stale: list[Lease] = []
        self.lease = self.take_over()
        self.had_live = False

    def take_over(self) -> Lease:
        """A new control process, with the name of the one that died."""
        lease = leases.acquire(self.ledger, f"control:{self.route}", holder="here", ttl_s=3600)
        assert lease is not None
        return lease

    def deployments(self) -> list[Deployment]:
        found = [*live_deployments(self.ledger), *(stored.record for stored in open_deployments(self.ledger))]
        return [one for one in found if isinstance(one, Deployment) and one.route == self.route]

    def under_way(self) -> list[Deployment]:
        return [one for one in self.deployments() if history(self.ledger, one.id)[-1][0].state != "live"]

    def ask(self, strategy: Strategy, dies: str | None) -> None:
        release = tiny_release(system_prompt=uuid7())
        self.ledger.append(release)
        self.ledger.append(decision(name_of(release)))
        self.ledger.dies = dies
        with suppress(RefusedError, Crash):
            request_deployment(
                self.ledger,
                project="shop",
                route=self.route,
                release=name_of(release),
                strategy=strategy,
                plan={},
                requested_by="somebody",
                reason="a test",
            )
        self.ledger.dies = None

    def control_pass(self, seen: Observation, seconds: int, dies: str | None) -> None:
        self.clock_ms += seconds * 1000
        self.delay_is_over = seconds > 0
        self.ledger.dies = dies
        try:
            for deployment in self.deployments():
                self.step(deployment, seen)
        except Crash:
            self.stale.append(self.lease)
            self.lease = self.take_over()
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
            replaced_at_ms=0 if self.delay_is_over else now,
        )
        transition = advance(deployment, done, seen, CONFIG, now)
        if transition is not None:
            store(self.ledger, self.lease, deployment, transition, after=done[-1][0])

    def rival(self) -> None:
        """A holder that was thought dead, and a decision on old sights: neither writes anything."""
        for deployment in self.deployments()[-1:]:
            done = history(self.ledger, deployment.id)
            last = done[-1][0]
            for state in sorted(LEGAL[last.state]):
                step = Transition(deployment=deployment.id, state=state, step=0, evidence={})
                assert not store(self.ledger, self.lease, deployment, step, after=replace(last, step=77))
                for lease in self.stale[-1:]:
                    with pytest.raises(LockedError):
                        store(self.ledger, lease, deployment, step, after=last)
            assert history(self.ledger, deployment.id) == done

    def person(self, act: str, dies: str | None) -> None:
        paused = self.under_way()
        self.ledger.dies = dies
        with suppress(FlyballError, Crash):
            if act == "rollback":
                rollback(self.ledger, self.route, requested_by="somebody", reason="a test")
            elif paused:
                decide = {"resume": resume, "promote": promote}[act]
                decide(self.ledger, paused[-1].id, requested_by="somebody", reason="a test")
        self.ledger.dies = None

    def check(self) -> None:
        """What was live once is never lost; a step and its effect are one; one deployment is under way at most."""
        at = pointer(self.ledger, self.route)
        assert at is not None or not self.had_live
        self.had_live = at is not None
        behind, name = set(), at.live_deployment if at else None
        if at is not None:
            assert at.live_deployment and history(self.ledger, at.live_deployment)[-1][0].state == "live"
            assert self.record(at.live_deployment).release == at.live_release
            admitted = self.ledger.get(self.record(at.live_deployment).decision).record
            assert isinstance(admitted, GateDecision)
            assert (admitted.verdict, admitted.release) == ("pass", at.live_release)
        while name:
            behind.add(name)
            name = self.record(name).replaces
        hot = {one.id for one in live_deployments(self.ledger) if one.route == self.route}
        assert hot <= behind, "a deployment says that it is live, and no pointer has ever moved to it"
        assert len(self.under_way()) <= 1

    def record(self, name: str) -> Deployment:
        deployment = self.ledger.get(name).record
        assert isinstance(deployment, Deployment)
        return deployment

    def check_histories(self) -> None:
        """Every path that was walked is a legal one."""
        with self.ledger.read() as connection:
            names = connection.execute(select(tables.transitions.c.deployment).distinct()).scalars().all()
        for name in names:
            states = [transition.state for transition, _ in history(self.ledger, name)]
            assert states[0] == "requested"
            for one, following in pairwise(states):
                assert following in LEGAL[one], states


def course(random: Random) -> Iterator[tuple[Any, ...]]:
    """Fifty arbitrary actions; drawn evenly, so that every state is reached again and again."""
    for _ in range(50):
        dies = random.choice([None, None, "before", "after"])
        kind = random.choice(["ask", *["control_pass"] * 7, "person", "rival"])
        if kind == "ask":
            yield kind, random.choice(["blue-green", "blue-green", "canary", "shadow", "ab"]), dies
        elif kind == "control_pass":
            yield kind, anything(random), random.choice([0, 0, 1]), dies
        elif kind == "person":
            yield kind, random.choice(["rollback", "resume", "promote", "promote"]), dies
        else:
            yield (kind,)


def anything(random: Random) -> Observation:
    return Observation(
        engine=random.choice(["ready"] * 8 + ["starting", "failed"]),  # type: ignore[arg-type]
        candidate=PLENTY,
        live=PLENTY,
        outage=random.choice([False] * 9 + [True]),
        harm={"quality": random.choice([0.9] * 9 + [0.001])},
        not_worse={"quality": random.choice([0.01, 0.01, 0.9])},
        idle=True,
    )


READY = Observation(engine="ready")
BEGINNING = (
    ("ask", "blue-green", None),
    *[("control_pass", READY, 0, None)] * 2,
    ("ask", "canary", None),
    *[("control_pass", READY, 0, None)] * 2,
)
"""One release is live and a canary is ramping: from here the course is arbitrary."""


def test_no_crash_rival_or_person_can_lose_the_last_good_release(ledger: Ledger) -> None:
    reached: Counter[str] = Counter()

    @settings(max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # a walk cannot be shrunk
    @given(st.integers(0, 2**32))
    def walk(seed: int) -> None:
        rollouts = Rollouts(ledger)
        for name, *arguments in BEGINNING:
            getattr(rollouts, name)(*arguments)
        for name, *arguments in course(Random(seed)):
            getattr(rollouts, name)(*arguments)
            rollouts.check()
        reached["crashes"] += len(rollouts.stale)

    walk()
    Rollouts(ledger).check_histories()
    with ledger.read() as connection:
        reached.update(connection.execute(select(tables.transitions.c.state)).scalars())
    for state in ("crashes", "live", "rolled_back", "ramping", "retired"):
        assert reached[state] >= 3, reached  # a walk that goes nowhere proves nothing


def decision(release: str) -> GateDecision:
    return GateDecision(
        project="shop",
        release=release,
        report="e" * 64,
        baseline_release=None,
        baseline_report=None,
        policy={"rules": []},
        alpha=0.05,
        checks=(),
        verdict="pass",
    )
