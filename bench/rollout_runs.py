"""One simulated rollout, decided by the product's own tests and state machine.

The tests of flyball.rollout.measures move only when a block of units closes, and what closes a block is who came, not
what happened. So a run hands them whole blocks, and asks the machine whenever one of its inputs crosses a level that
the machine compares it with: in between, a look after every unit would see the same. `tests/rollout/
test_rollout_simulation.py` runs the same users one by one through Evidence, asking the machine after each, and gets
the same transitions at the same units.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from flyball.records import Deployment, Transition
from flyball.rollout.config import RolloutConfig
from flyball.rollout.measures import BURN_IN, Measures, Shares
from flyball.rollout.observation import ArmCounts, Observation
from flyball.rollout.outages import OutageWatch
from flyball.rollout.state_machine import RATIO_ALPHA, advance
from flyball.rollout.validity_checks import Responses, doubts_of, trusted_harm
from flyball.statistics.missing import ResponseRates
from flyball.statistics.sample_ratio import SampleRatio
from flyball.statistics.two_arm import Arm, block_is_due
from flyball.statistics.two_arm_quantiles import SMALLEST
from rollout_users import SHARE, VERDICT_S, Users

ALPHA = 0.05
DEPLOYMENT = Deployment(
    id="candidate",
    project="simulation",
    route="route",
    release="b" * 64,
    decision="d" * 64,
    strategy="canary",
    plan={"steps": [SHARE]},
    replaces="live",
    requested_by="simulation",
    reason="simulation",
)


def config_of(margin_failures: float) -> RolloutConfig:
    """Five points of quality, a canary of 10 % in one step."""
    return RolloutConfig(
        margin=0.05,
        margin_failures=margin_failures,
        canary_steps=(SHARE,),
        judge_share=1.0,
        judge_after_s=30.0,
        judge_within_s=VERDICT_S,
        deadline_s=1e9,
        alpha=ALPHA,
    )


def ramping() -> list[tuple[Transition, int]]:
    """The history of a canary whose traffic has just begun."""
    states = ("requested", "starting", "ramping")
    return [(Transition(deployment="candidate", state=one, step=0, evidence={}), 0) for one in states]  # type: ignore[arg-type]


@dataclass(slots=True)
class Outcome:
    """How a run ended; counts are of the canary's units."""

    transitions: list[tuple[str, int, str]] = field(default_factory=list)  # state, after how many units, reason
    state: str = "ramping"
    canary_units: int = 0  # at the end
    judged: int = 0  # of these, with a verdict
    proven_at: int | None = None  # judged units when quality was proven to be within the margin
    harm_at: int | None = None  # judged units when quality alone was proven to be worse, at α/6


@dataclass(slots=True)
class Blocks:
    """Where the blocks of a stream of units close, and how many units of both arms each holds."""

    at: list[int]  # the unit, of all units, that closes each
    ends: np.ndarray  # the place in the stream behind it
    candidate: list[int]
    live: list[int]

    def sums(self, values: np.ndarray) -> list[float]:
        """The sum of some values in each block."""
        total = np.concatenate(([0.0], np.cumsum(values)))[np.concatenate(([0], self.ends))]
        return np.diff(total).tolist()


def blocks_of(places: np.ndarray, canary: np.ndarray, *, growing: bool = True) -> Blocks:
    """The blocks of the units at these places: `growing` as in two_arm.py, else closed as soon as both arms are in."""
    before = np.concatenate(([0], np.cumsum(canary)))
    ends = _growing_ends(before.tolist(), len(canary)) if growing else _short_ends(canary)
    behind = np.array(ends, dtype=np.int64)
    candidates = np.diff(before[np.concatenate(([0], behind))])
    units = np.diff(np.concatenate(([0], behind)))
    return Blocks(
        at=places[behind - 1].tolist(), ends=behind, candidate=candidates.tolist(), live=(units - candidates).tolist()
    )


def _short_ends(canary: np.ndarray) -> list[int]:
    """Behind the first unit, each time, that the other arm is in too."""
    n = len(canary)
    place = np.arange(n)
    following = [np.minimum.accumulate(np.where(arm, place, n)[::-1])[::-1].tolist() for arm in (canary, ~canary)]
    ends, start = [], 0
    while start < n and (end := max(following[0][start], following[1][start]) + 1) <= n:
        ends.append(end)
        start = end
    return ends


def _growing_ends(candidates: list[int], n: int) -> list[int]:
    ends, start, information = [], 0, 0.0
    while (end := _end(candidates, start, n, information)) <= n:
        mine = candidates[end] - candidates[start]
        other = end - start - mine
        information += mine * other / (mine + other)
        ends.append(end)
        start = end
    return ends


def _end(candidates: list[int], start: int, n: int, information: float) -> int:
    """The first place behind `start` at which a block is due; n + 1 when none is."""
    before, step = candidates[start], 8
    low = start + 1
    while True:
        high = min(low + step, n)
        mine = candidates[high] - before
        if block_is_due(mine, high - start - mine, information):
            break
        if high == n:
            return n + 1
        low, step = high, step * 2
    while low < high:
        middle = (low + high) // 2
        mine = candidates[middle] - before
        if block_is_due(mine, middle - start - mine, information):
            high = middle
        else:
            low = middle + 1
    return low


class Run:
    """Streams of blocks through the tests, and the machine's decisions."""

    def __init__(self, users: Users, config: RolloutConfig) -> None:
        self.users, self.config = users, config
        self.measures = Measures(config)
        self.responses = {"judged": Responses("judged answers", self.measures.quality)}
        self.responses["feedback"] = Responses("feedback", self.measures.feedback)
        self.ratio = SampleRatio(SHARE)
        self.watch = OutageWatch(0.0)
        self.history = ramping()
        self.outcome = Outcome()
        self.first_ten = 0
        self.canary_before = np.concatenate(([0], np.cumsum(users.canary)))
        self.judged_before = np.concatenate(([0], np.cumsum(users.canary & ~np.isnan(users.quality))))

    def decide(self) -> Outcome:
        """Run to the end: a final transition, or no more users."""
        level: tuple[object, ...] = ()
        for unit in self._changes():
            seen = self._level(unit)
            if seen != level:
                level = seen
                self._note(unit)
                if self._look(unit):
                    return self.outcome
        self._end(len(self.users.canary) - 1)
        return self.outcome

    def _changes(self) -> Iterator[int]:
        """Play all streams in the order of their units; each unit after which something may have changed."""
        streams = [stream for stream in self._streams() if stream is not None]
        following = [next(stream, math.inf) for stream in streams]
        costs = self._costs()
        next(costs)
        while (unit := min(following)) < math.inf:
            yield from iter(lambda: costs.send(unit), None)  # blocks of costs that close before
            for index, one in enumerate(following):
                if one == unit:
                    following[index] = next(streams[index], math.inf)
            yield int(unit)

    # streams: each gives the unit that closes its next block, and takes that block in when it is asked for another --

    def _streams(self) -> list[Iterator[int]]:
        users, measures = self.users, self.measures
        everyone = np.arange(len(users.canary))
        whole = blocks_of(everyone, users.canary)
        judged, rated = ~np.isnan(users.quality), ~np.isnan(users.feedback)
        return [
            self._shares(measures.failures, whole, users.failures, users.canary),
            self._shares(measures.blocked, whole, users.blocked, users.canary),
            self._latencies(whole),
            self._some(measures.feedback, users.feedback, rated),
            self._some(measures.quality, users.quality, judged),
            self._rates(self.responses["feedback"].rates, whole, rated, users.canary),
            self._verdicts(judged),
            self._split(),
            self._first_units(),
            self._failures(),
        ]

    def _some(self, measure: Shares, scores: np.ndarray, known: np.ndarray) -> Iterator[int]:
        places = np.flatnonzero(known)
        canary = self.users.canary[places]
        return self._shares(measure, blocks_of(places, canary), scores[places], canary)

    def _shares(self, measure: Shares, blocks: Blocks, scores: np.ndarray, canary: np.ndarray) -> Iterator[int]:
        of_candidate, of_live = blocks.sums(np.where(canary, scores, 0.0)), blocks.sums(np.where(canary, 0.0, scores))
        proof = measure.not_worse
        for unit, mine, other, good, live_good in zip(
            blocks.at, blocks.candidate, blocks.live, of_candidate, of_live, strict=True
        ):
            yield unit
            _count(measure, "candidate", mine, good)
            _count(measure, "live", other, live_good)
            measure.harm.take_block(live_good, other - live_good, good, mine - good)
            if proof is not None and not proof.rejects(ALPHA):  # what is proven stays so
                proof.take_block(good, mine - good, live_good, other - live_good)

    def _latencies(self, blocks: Blocks) -> Iterator[int]:
        latency, canary = self.measures.latency, self.users.canary
        candidate, live = latency.times["candidate"], latency.times["live"]
        steps = np.log(self.users.latency_ms / SMALLEST) / candidate.width
        cells = np.clip(np.ceil(steps - 1e-9), 0, len(candidate.counts) - 2).astype(np.int64)
        eased = np.maximum(cells - latency.not_worse.steps, 0)  # the margin is a whole number of cells
        start = 0
        for unit, end, mine, other in zip(blocks.at, blocks.ends.tolist(), blocks.candidate, blocks.live, strict=True):
            yield unit
            block, whose = cells[start:end], canary[start:end]
            candidate.add_cells(block[whose].tolist())
            latency.eased.add_cells(eased[start:end][whose].tolist())
            live.add_cells(block[~whose].tolist())
            start = end
            latency.harm.take_block(latency.eased, live, mine, other)
            if not latency.not_worse.rejects(ALPHA):
                latency.not_worse.take_block(live, candidate, other, mine)

    def _costs(self) -> Generator[int | None, float, None]:
        """Takes in what closes up to the unit sent; gives the units at which a level was crossed, then None."""
        cost, users = self.measures.cost, self.users
        live = np.cumsum(~users.canary)
        burnt = int(np.searchsorted(live, BURN_IN)) + 1
        for place in range(burnt):
            cost.update("candidate" if users.canary[place] else "live", float(users.cost_usd[place]))
        canary = users.canary[burnt:]
        scores = np.minimum(users.cost_usd[burnt:] / cost.cap_usd, 1.0)
        blocks = blocks_of(np.arange(burnt, len(users.canary)), canary, growing=False)
        of_candidate, of_live = blocks.sums(np.where(canary, scores, 0.0)), blocks.sums(np.where(canary, 0.0, scores))
        until = yield None
        for unit, mine, other, first, second in zip(
            blocks.at, blocks.candidate, blocks.live, of_candidate, of_live, strict=True
        ):
            while unit > until:
                until = yield None
            best, proven = cost.harm.best, cost.not_worse.rejects(ALPHA)
            cost.harm.take_block(other, second, mine, first)
            if not proven:
                cost.not_worse.take_block(mine, first, other, second)
            new = not cost.units["live"] or (cost.not_worse.rejects(ALPHA) and not proven)
            cost.units["candidate"] += mine
            cost.units["live"] += other
            if unit < until and (new or (cost.harm.best != best and cost.harm.best * ALPHA >= 1.0)):
                until = yield unit
        while True:
            yield None

    def _rates(self, rates: ResponseRates, blocks: Blocks, answered: np.ndarray, canary: np.ndarray) -> Iterator[int]:
        of_candidate = blocks.sums((answered & canary).astype(float))
        of_live = blocks.sums((answered & ~canary).astype(float))
        for unit, mine, other, yes, live_yes in zip(
            blocks.at, blocks.candidate, blocks.live, of_candidate, of_live, strict=True
        ):
            yield unit
            for arm, asked, said in (("candidate", mine, yes), ("live", other, live_yes)):
                rates.asked[arm] += asked  # type: ignore[index]
                rates.answered[arm] += int(said)  # type: ignore[index]
            rates.less.take_block(live_yes, other - live_yes, yes, mine - yes)
            rates.more.take_block(other - live_yes, live_yes, mine - yes, yes)

    def _verdicts(self, judged: np.ndarray) -> Iterator[int]:
        places = np.flatnonzero(self.users.answered)
        if judged[places].all():  # nobody is missing: the test never moves up
            return iter(())
        canary = self.users.canary[places]
        blocks = blocks_of(places, canary)
        return self._rates(self.responses["judged"].rates, blocks, judged[places], canary)

    def _split(self) -> Iterator[int]:
        """The first unit, if any, at which the split is proven wrong."""
        canary = self.users.canary
        n, mine = np.arange(len(canary)), np.cumsum(canary) - canary
        a, b = SampleRatio.STRENGTH * SHARE, SampleRatio.STRENGTH * (1.0 - SHARE)
        odds = np.where(canary, (a + mine) / SHARE, (b + n - mine) / (1.0 - SHARE)) / (a + b + n)
        evidence = np.cumsum(np.log(odds))
        for unit in np.flatnonzero(evidence >= -math.log(RATIO_ALPHA))[:1].tolist():
            yield unit
            mine = int(canary[: unit + 1].sum())
            self.ratio.update(canary=mine, live=unit + 1 - mine)

    def _first_units(self) -> Iterator[int]:
        """The units of the canary at which the machine begins to trust counts, or stops to."""
        places = np.flatnonzero(self.users.canary)
        failed = (self.users.failures[places[:10]] < 1.0).cumsum()
        moments = [*places[np.flatnonzero(failed == self.config.max_failures)[:1]].tolist()]
        moments += places[self.config.min_units - 1 : self.config.min_units].tolist()
        for unit in moments:
            yield unit
            if unit in places[:10]:
                self.first_ten = self.config.max_failures

    def _failures(self) -> Iterator[int]:
        """Requests of the canary as the watch for outages sees them, the failed ones one by one."""
        users, quiet = self.users, 0
        for unit in np.flatnonzero(users.canary).tolist():
            if users.failures[unit] < 1.0:
                yield unit
                self.watch.take_answered(quiet)
                self.watch.take(str(unit), True, unit * 100)
                quiet = 0
            else:
                quiet += 1

    # looks ----------------------------------------------------------------------------------------------------------

    def _level(self, unit: int) -> tuple[object, ...]:
        """Which of the levels that the machine compares with have been crossed."""
        harm, not_worse = trusted_harm(self.measures, self.responses["feedback"]), self.measures.not_worse
        return (
            tuple([name for name, test in harm.items() if test.p_value <= ALPHA / len(harm)]),
            tuple([name for name, test in not_worse.items() if test.p_value <= ALPHA]),
            len(harm),
            self.ratio.peak > 0.0,
            tuple([one.differ for one in self.responses.values()]),
            self.watch.alarm,
            self.first_ten,
            self.canary_before[unit + 1] >= self.config.min_units,
        )

    def _note(self, unit: int) -> None:
        """Remember when quality was proven to be within the margin, or worse."""
        quality, judged = self.measures.quality, int(self.judged_before[unit + 1])
        if self.outcome.proven_at is None and quality.not_worse is not None and quality.not_worse.rejects(ALPHA):
            self.outcome.proven_at = judged
        if self.outcome.harm_at is None and quality.harm.rejects(ALPHA / 6):
            self.outcome.harm_at = judged

    def _look(self, unit: int) -> bool:
        """Ask the machine; whether the run is over."""
        harm, not_worse = trusted_harm(self.measures, self.responses["feedback"]), self.measures.not_worse
        mine = int(self.canary_before[unit + 1])
        compared = 0 < mine < unit + 1
        seen = Observation(
            engine="ready",
            candidate=ArmCounts(requests=mine, units=mine),
            live=ArmCounts(requests=unit + 1 - mine, units=unit + 1 - mine),
            first_ten_failures=self.first_ten,
            outage=self.watch.alarm,
            harm={name: test.p_value for name, test in harm.items()} if compared else {},
            not_worse={name: test.p_value for name, test in not_worse.items()} if compared else {},
            sample_ratio=self.ratio.p_value,
            doubts=doubts_of({}, self.responses.values()),
        )
        transition = advance(DEPLOYMENT, self.history, seen, self.config, 1000)
        if transition is None:
            return False
        self.history.append((transition, 0))
        self.outcome.transitions.append((transition.state, unit + 1, str(transition.evidence["reason"])))
        self._end(unit)
        return transition.state in ("live", "rolled_back")

    def _end(self, unit: int) -> None:
        self.outcome.state = self.history[-1][0].state
        self.outcome.canary_units = int(self.canary_before[unit + 1])
        self.outcome.judged = int(self.judged_before[unit + 1])


def _count(measure: Shares, arm: Arm, units: int, total: float) -> None:
    measure.units[arm] += units
    measure.totals[arm] += total
