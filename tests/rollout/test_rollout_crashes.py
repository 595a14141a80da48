"""The rollout machine as a state machine on a real ledger: people, control and rivals, and a crash at any write.

Each act may be killed just before or just after any of its transactions is on disk; the ledger must then be what the
model says: the act happened whole or not at all. At the end a control process that dies at every write, again and
again, must come to the same end as one that never dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select

from control_shop import decision_for
from flyball.control.capacity import wanted
from flyball.control.cluster_reader import read_world
from flyball.control.context import ControlContext
from flyball.errors import FlyballError, LockedError
from flyball.monitoring.config import MonitorConfig
from flyball.records import Deployment, GateDecision, Strategy, Transition, name_of
from flyball.records.identity import uuid7
from flyball.rollout.admission import refusal
from flyball.rollout.config import RolloutConfig
from flyball.rollout.deployments import promote, request_deployment, resume, rollback
from flyball.rollout.observation import ArmCounts, Mirrored, Observation
from flyball.rollout.plans import plan_of
from flyball.rollout.state_machine import LEGAL, History, advance
from flyball.rollout.transitions import live_deployments, store
from flyball.serving.config import ServingConfig
from flyball.storage import leases, tables
from flyball.storage.artifacts import ArtifactStore
from flyball.storage.deployments import add_transition, history, open_deployments, pointer
from flyball.storage.leases import Lease
from flyball.storage.ledger import Ledger
from rollout_model import Model, Step, is_prefix
from tiny_gguf import tiny_release

CONFIG = RolloutConfig(min_units=10, scale_down_delay_s=5.0, deadline_s=50.0, ready_timeout_s=20.0)
PLENTY = ArmCounts(requests=50, units=50, good=45)
PROVEN = {"quality": 0.01, "failures": 0.01}
FINE = {"quality": 0.9, "failures": 0.9}
COPIES = Mirrored(requests=50, units=50, harm=FINE, not_worse=PROVEN)
CALM = Observation(
    engine="ready", candidate=PLENTY, live=PLENTY, harm=FINE, not_worse=PROVEN, mirrored=COPIES, idle=True
)
OBSERVATIONS = st.one_of(
    st.just(CALM),
    st.just(CALM),
    st.sampled_from(
        [
            replace(CALM, engine="starting"),
            replace(CALM, engine="failed", engine_problem="it crashed"),
            replace(CALM, not_worse=FINE, mirrored=Mirrored()),
            replace(CALM, harm={"quality": 0.9, "failures": 0.001}, not_worse=FINE),
            replace(CALM, harm={"quality": 0.001, "failures": 0.9}),
            replace(CALM, mirrored=replace(COPIES, cost_usd=100.0, units=1)),
            replace(CALM, doubts=("half of the answers are missing",)),
            replace(CALM, first_ten_failures=10),
            replace(CALM, engine_down="gone"),
        ]
    ),
)
UNDECIDED = st.sampled_from(
    [
        replace(CALM, harm={"quality": 0.001, "failures": 0.9}),
        replace(CALM, mirrored=replace(COPIES, cost_usd=100.0, units=1), doubts=("half of the answers are missing",)),
    ]
)
CRASHES = st.none() | st.tuples(st.integers(1, 3), st.sampled_from(["before", "after"]))
Crashes = tuple[int, str] | None


class Crash(Exception):
    """The process is gone: kill -9."""


class Mortal(Ledger):
    """A ledger whose process can be killed just before or just after its nth transaction from now is on disk."""

    dies: Crashes = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        now = ""
        if self.dies is not None:
            number, when = self.dies
            self.dies = (number - 1, when) if number > 1 else None
            now = when if number == 1 else ""
        with super().begin() as connection:
            yield connection
            if now == "before":
                raise Crash
        if now == "after":
            raise Crash


class Rollouts(RuleBasedStateMachine):
    """One route of one project under arbitrary people, observations, crashes and rivals."""

    ledger_of_test: ClassVar[Ledger]
    folder: ClassVar[Path]
    reached: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Mortal(self.ledger_of_test.engine, project=f"shop-{uuid7()}")
        self.model, self.before = Model(), Model()
        self.stale: list[Lease] = []
        self.lease = self.take_over()

    def take_over(self) -> Lease:
        """A new control process, with the name of the one that died."""
        lease = leases.acquire(self.ledger, "control", holder="here", ttl_s=3600)
        assert lease is not None
        return lease

    @contextmanager
    def mortal(self, dies: Crashes) -> Iterator[None]:
        """An act during which its process may die."""
        self.ledger.dies = dies
        try:
            yield
        except Crash:
            self.reached["crashes"] += 1
        finally:
            self.ledger.dies = None

    # acts --------------------------------------------------------------------------------------------------------

    @initialize(far=st.booleans())
    def one_is_live_and_another_ramps(self, far: bool) -> None:
        """Or, further on: the first is retired, a second is live, and a third is paused."""
        for strategy in ("blue-green", "canary", "ab")[: 3 if far else 2]:
            while self.model.under_way:
                self.control_passes(CALM, False, None)
            self.somebody_asks(strategy, None, None)
            for _ in range(2):
                self.control_passes(CALM, strategy == "ab", None)
        if far:
            self.control_passes(replace(CALM, doubts=("half of the answers are missing",)), False, None)

    @rule(strategy=st.sampled_from(["blue-green", "canary", "shadow", "ab"]), then=st.booleans(), dies=CRASHES)
    def somebody_asks(self, strategy: Strategy, then: bool | None, dies: Crashes) -> None:
        release = tiny_release(project=self.ledger.project, system_prompt=uuid7())
        self.ledger.append(release)
        name = name_of(release)
        decision = decision_for(name, baseline=self.model.live_release)
        self.ledger.append(replace(decision, project=self.ledger.project))
        follows: Strategy | None = "canary" if strategy == "shadow" and then else None
        with self.mortal(dies):
            try:
                self._request(name, strategy, follows)
            except FlyballError:
                assert not self.model.may_ask(name)
        made = [one for one in self._recorded() if one.id not in self.model.deployments]
        assert len(made) == (self.model.may_ask(name) and (dies is None or dies == (1, "after") or dies[0] > 1))
        for deployment in made:
            self.model.asked(deployment)

    def _request(self, release: str, strategy: Strategy, then: Strategy | None) -> None:
        request_deployment(
            self.ledger,
            project=self.ledger.project,
            route="shop",
            release=release,
            strategy=strategy,
            plan=plan_of(strategy, CONFIG, then=then),
            requested_by="somebody",
            reason="a test",
        )

    @precondition(lambda self: not self.model.under_way)
    @rule(verdict=st.sampled_from(["fail", "inconclusive"]))
    def a_release_without_a_passing_gate_gets_in_somehow(self, verdict: str) -> None:
        release = tiny_release(project=self.ledger.project, system_prompt=uuid7())
        decision = replace(decision_for(name_of(release), verdict=verdict), project=self.ledger.project)  # type: ignore[arg-type]
        deployment = Deployment(
            id=uuid7(),
            project=self.ledger.project,
            route="shop",
            release=name_of(release),
            decision=name_of(decision),
            strategy="blue-green",
            plan={},
            replaces=self.model.live,
            requested_by="nobody",
            reason="past the front door",
        )
        for record in (release, decision, deployment):
            self.ledger.append(record)
        with self.ledger.begin() as connection:
            step = Transition(deployment=deployment.id, state="requested", step=0, evidence={})
            add_transition(connection, self.ledger.project, step, epoch=0)
        self.model.asked(deployment)

    @rule(seen=OBSERVATIONS, delay_is_over=st.booleans(), dies=CRASHES)
    def control_passes(self, seen: Observation, delay_is_over: bool, dies: Crashes) -> None:
        crashes = self.reached["crashes"]
        with self.mortal(dies):
            for deployment in self._standing():
                done = history(self.ledger, deployment.id)
                transition = self._decided(self.model, deployment, done, seen, delay_is_over)
                if transition is None:
                    continue
                counted = self.ledger.dies
                try:
                    assert store(self.ledger, self.lease, deployment, transition, after=done[-1][0])
                except Crash:
                    if counted == (1, "after"):
                        self.model.moved(deployment.id, transition.state, transition.step)
                    raise
                self.model.moved(deployment.id, transition.state, transition.step)
        if self.reached["crashes"] > crashes:
            self.stale.append(self.lease)
            self.lease = self.take_over()

    @precondition(lambda self: any(self.model.state(name) in ("ramping", "paused") for name in self.model.under_way))
    @rule(seen=UNDECIDED, dies=CRASHES)
    def control_passes_while_one_ramps(self, seen: Observation, dies: Crashes) -> None:
        self.control_passes(seen, False, dies)

    @precondition(lambda self: len(self.model.hot) > 1)
    @rule(dies=CRASHES)
    def the_live_release_fails_while_the_one_before_is_hot(self, dies: Crashes) -> None:
        self.control_passes(replace(CALM, engine_down="gone"), False, dies)

    @rule(dies=CRASHES)
    def control_passes_twice_in_calm(self, dies: Crashes) -> None:
        self.control_passes(CALM, True, dies)
        self.control_passes(CALM, True, None)

    def _decided(
        self, model: Model, deployment: Deployment, done: History, seen: Observation, delay_is_over: bool
    ) -> Transition | None:
        now, moved_on = done[-1][1] + 1, model.live != deployment.replaces
        seen = replace(
            seen,
            refusal="moved on" if moved_on else refusal(self.ledger, deployment, live=model.live_release),
            moved_on=moved_on,
            fallback_hot=deployment.replaces in model.hot,
            replaced=model.live != deployment.id,
            replaced_at_ms=now - 60_000 if delay_is_over else now,
        )
        return advance(deployment, done, seen, CONFIG, now)

    @rule(dies=CRASHES)
    def somebody_rolls_back(self, dies: Crashes) -> None:
        expected = self.model.copy()
        under_way, target = expected.under_way, expected.target()
        live = expected.live
        if under_way:
            expected.moved(under_way[0], "rolled_back", expected.steps[under_way[0]][-1][1])
        elif live and target and expected.state(target) == "live":
            expected.steps[live].append(("rolled_back", expected.steps[live][-1][1]))
            expected.live = target
        with self.mortal(dies):
            try:
                rollback(self.ledger, "shop", requested_by="somebody", reason="a test")
            except FlyballError:
                assert not under_way and target is None
        returned = [one for one in self._recorded() if one.id not in expected.deployments]
        assert len(returned) <= (not under_way and target is not None and expected.state(target) == "retired")
        for deployment in returned:  # one that was scaled down is started again
            assert deployment.release == expected.deployments[target or ""].release
            expected.asked(deployment)
        self._whole_or_not_at_all(expected, dies)

    @precondition(lambda self: self.model.under_way)
    @rule(act=st.sampled_from(["resume", "promote"]), dies=CRASHES)
    def somebody_decides(self, act: str, dies: Crashes) -> None:
        (name,) = self.model.under_way
        expected, state = self.model.copy(), self.model.state(name)
        may = state == "paused" or (act == "promote" and state == "ramping")
        may = may and self.model.live == self.model.deployments[name].replaces
        if may:
            expected.moved(name, "live" if act == "promote" else "ramping", expected.steps[name][-1][1])
        with self.mortal(dies):
            try:
                (promote if act == "promote" else resume)(self.ledger, name, requested_by="somebody", reason="a test")
            except FlyballError:
                assert not may
        self._whole_or_not_at_all(expected, dies)

    def _whole_or_not_at_all(self, expected: Model, dies: Crashes) -> None:
        if dies != (1, "before"):
            self.model = expected

    @rule(rival=st.sampled_from(["a stale lease", "an old sight", "another host"]))
    def a_rival_acts_too(self, rival: str) -> None:
        """A holder that was thought dead, a decision on old sights, another host: none of them writes anything."""
        if rival == "another host":
            assert leases.acquire(self.ledger, "control", holder="there", ttl_s=3600) is None
        for deployment in self._standing():
            last = history(self.ledger, deployment.id)[-1][0]
            for state in sorted(LEGAL[last.state]):
                step = Transition(deployment=deployment.id, state=state, step=0, evidence={})
                if rival == "an old sight":
                    assert not store(self.ledger, self.lease, deployment, step, after=replace(last, step=77))
                for lease in self.stale[-1:] if rival == "a stale lease" else ():
                    with pytest.raises(LockedError):
                        store(self.ledger, lease, deployment, step, after=last)

    # promises ----------------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        """Each act whole or not at all; history only grows, by legal steps; the route points at one live release."""
        found = self._histories()
        assert found == self.model.steps
        at = pointer(self.ledger, "shop")
        assert (at.live_deployment if at else None) == self.model.live
        assert (at.live_release if at else None) == self.model.live_release
        for name, steps in found.items():
            assert is_prefix(self.before.steps.get(name, []), steps)
            states = [state for state, _ in steps]
            assert all(following in LEGAL[one] for one, following in pairwise(states)), states
        assert self.model.live or not self.before.live, "what was live once is never lost"
        assert len(self.model.under_way) <= 1
        self.before = self.model.copy()

    @invariant()
    def only_what_a_gate_passed_is_live(self) -> None:
        for name in self.model.hot:
            deployment = self.model.deployments[name]
            decision = self.ledger.get(deployment.decision).record
            assert isinstance(decision, GateDecision)
            assert (decision.verdict, decision.release) == ("pass", deployment.release)

    @invariant()
    def engines_are_wanted_for_the_live_release_and_for_the_one_to_fall_back_on(self) -> None:
        world = read_world(self._context())
        assert set(wanted(world)) == self.model.wanted()
        assert self.model.live is None or self.model.live_release in wanted(world)
        assert self.model.live is None or self.model.state(self.model.live) == "live"
        behind, name = set(), self.model.live
        while name:
            behind.add(name)
            name = self.model.deployments[name].replaces
        assert set(self.model.hot) <= behind, "a deployment says that it is live, and no route ever pointed at it"

    def teardown(self) -> None:
        """A control process that dies at every write comes to the end that one that never dies comes to."""
        if not self.model.deployments:
            return
        expected = self._end_without_a_crash()
        calm = 0
        for number in range(200):
            steps = sum(map(len, self.model.steps.values()))
            self.control_passes(CALM, False, (1, "after" if number % 3 else "before"))
            self.the_ledger_is_what_the_model_says()
            calm = 0 if sum(map(len, self.model.steps.values())) > steps else calm + 1
            if calm > 3:
                break
        assert (self.model.steps, self.model.live) == (expected.steps, expected.live)
        self.reached.update(state for steps in self.model.steps.values() for state, _ in steps)

    def _end_without_a_crash(self) -> Model:
        model, moved = self.model.copy(), True
        while moved:
            moved = False
            for name in [*model.hot, *model.under_way]:
                deployment = model.deployments[name]
                done = [(self._transition(name, step), 0) for step in model.steps[name]]
                step = self._decided(model, deployment, done, CALM, False)
                if step is not None:
                    model.moved(name, step.state, step.step)
                    moved = True
        return model

    # reading -----------------------------------------------------------------------------------------------------

    def _transition(self, name: str, step: Step) -> Transition:
        return Transition(deployment=name, state=step[0], step=step[1], evidence={})

    def _standing(self) -> list[Deployment]:
        """As control sees them: live ones first, then those under way."""
        found = [*live_deployments(self.ledger), *(stored.record for stored in open_deployments(self.ledger))]
        return [one for one in found if isinstance(one, Deployment)]

    def _recorded(self) -> list[Deployment]:
        found = [stored.record for stored in self.ledger.find(Deployment, limit=1000)]
        return [one for one in found if isinstance(one, Deployment)]

    def _histories(self) -> dict[str, list[Step]]:
        column = tables.transitions.c
        query = select(column.deployment, column.body).where(column.project == self.ledger.project)
        found: dict[str, list[Step]] = {}
        with self.ledger.read() as connection:
            for row in connection.execute(query.order_by(column.seq)):
                step = msgspec.json.decode(bytes(row.body), type=Transition)
                found.setdefault(row.deployment, []).append((step.state, step.step))
        return found

    def _context(self) -> ControlContext:
        return ControlContext(
            ledger=self.ledger,
            project=self.ledger.project,
            rollout=CONFIG,
            serving=ServingConfig(),
            monitor=MonitorConfig(),
            artifacts=ArtifactStore(self.folder),
            run_dir=self.folder,
            log_dir=self.folder,
            routes_path=self.folder / "routes.json",
            holder="here",
        )


@pytest.mark.parametrize("walks", [8, pytest.param(20, marks=pytest.mark.long)])
def test_whatever_people_do_and_wherever_control_dies_the_promises_hold(
    ledger: Ledger, tmp_path: Path, walks: int
) -> None:
    class OnThisLedger(Rollouts):
        ledger_of_test, folder, reached = ledger, tmp_path, Counter()

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        OnThisLedger,
        settings=settings(
            max_examples=walks,
            derandomize=walks < 20,  # the few of every run are the same few
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a walk takes longer than to read it
            suppress_health_check=list(HealthCheck),
        ),
    )
    for state in ("crashes", "live", "rolled_back", "ramping", "paused", "retired"):
        at_least = 3 if walks == 20 else 1
        assert OnThisLedger.reached[state] >= at_least, OnThisLedger.reached  # a walk that goes nowhere proves nothing
