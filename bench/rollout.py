"""Simulated rollouts, decided by the product's own functions. Prints one JSON object as its last line.

    python bench/rollout.py [--runs 5000] [--processes 2] [--only equal,worse,…]

Six measures, base quality .8, a canary of 10 %, five points of margin, a look after every unit (rollout_runs.py says
how). In each case there are candidates that equal live and candidates that are worse: the equal ones must not be
rolled back and be proven within the margin, the worse ones must be rolled back and never go live. Counts are of the
canary's judged units; rates come with exact 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from flyball.statistics.intervals import clopper_pearson
from flyball.statistics.two_arm import TwoArmHarm
from rollout_runs import ALPHA, Outcome, Run, blocks_of, config_of
from rollout_users import BASE_QUALITY, SHARE, Case, Release, Users, draw

SEED = 20_261_124
HORIZON = 16_500
"""Units of both arms in a run: 1,500 of the canary with hardly an exception."""
WORSE = Release(quality=0.7)
RARE = Release(failures=0.001)
ANSWER_MORE = {"unhappy_answer_more": 1.5}

CASES: dict[str, Case] = {
    "equal": Case(),
    "worse": Case(candidate=WORSE),
    "unhappy_users_answer_more:equal": Case(**ANSWER_MORE),
    "unhappy_users_answer_more:worse": Case(candidate=WORSE, **ANSWER_MORE),
    "heavy_tailed_users:equal": Case(heavy_tailed=True),
    "heavy_tailed_users:worse": Case(candidate=WORSE, heavy_tailed=True),
    "rare_errors:equal": Case(candidate=RARE, live=RARE, margin_failures=0.005),
    "rare_errors:worse": Case(candidate=Release(quality=0.7, failures=0.006), live=RARE, margin_failures=0.005),
    "rare_errors:more_errors": Case(candidate=Release(failures=0.006), live=RARE, margin_failures=0.005),
    "delays_that_depend_on_the_outcome:equal": Case(late=True),
    "delays_that_depend_on_the_outcome:worse": Case(candidate=WORSE, late=True),
    "three_points_worse": Case(candidate=Release(quality=0.77)),
    "three_times_slower": Case(candidate=Release(slower=3.0)),
}
STRESS = ("unhappy_users_answer_more", "heavy_tailed_users", "rare_errors", "delays_that_depend_on_the_outcome")
FIRST_LOOK = {"equal": 9_000, "worse": 4_000}
"""Most runs end within so many units; the others begin again with all of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000, help="of each case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="names of cases, for a look at these")
    arguments = parser.parse_args()
    names = [name for name in CASES if not arguments.only or name in arguments.only.split(",")]
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        outcomes = {name: simulate(pool, name, _runs(name, arguments.runs)) for name in names}
        found = report(outcomes)
        if not arguments.only:
            found["mean_canary_units_to_see_quality_alone"] = reference(pool, max(10, arguments.runs // 10))
    print(json.dumps(found))


def reference(pool: Any, runs: int) -> dict[str, float]:
    """Quality alone, tested at α/6 to the end: what earlier simulations needed was 258–273 and 2,406–3,103 units."""
    waits = {}
    for points in (10, 3):
        seeds = [(points, (SEED, 99, points, run)) for run in range(runs)]
        waits[f"{points}_points_worse"] = round(fmean(pool.imap_unordered(harm_alone, seeds, chunksize=10)), 1)
    return waits


def harm_alone(run: tuple[int, Sequence[int]]) -> int:
    """Canary units until a candidate is proven worse by its quality; at most 15,000 or so."""
    points, seed = run
    dice = np.random.default_rng(seed)
    canary = dice.random(150_000) < SHARE
    good = dice.random(len(canary)) < np.where(canary, BASE_QUALITY - points / 100, BASE_QUALITY)
    blocks, test, seen = blocks_of(np.arange(len(canary)), canary), TwoArmHarm(), 0
    of_candidate, of_live = blocks.sums((good & canary).astype(float)), blocks.sums((good & ~canary).astype(float))
    for mine, other, yes, live_yes in zip(blocks.candidate, blocks.live, of_candidate, of_live, strict=True):
        test.take_block(live_yes, other - live_yes, yes, mine - yes)
        seen += mine
        if test.rejects(ALPHA / 6):
            break
    return seen


def _runs(name: str, runs: int) -> int:
    return runs if ":" in name or name in ("equal", "worse") else max(1, runs // 10)


def simulate(pool: Any, name: str, runs: int) -> list[Outcome]:
    """All runs of a case, spread over the processes."""
    began, step = time.monotonic(), 50
    parts = [(name, first, min(first + step, runs)) for first in range(0, runs, step)]
    found: list[Outcome] = []
    for part in pool.imap(outcomes_of, parts):
        found += part
        print(f"\r{name}: {len(found)} of {runs}", end="", file=sys.stderr, flush=True)
    states = dict(Counter(one.state for one in found))
    print(f"\r{name}: {runs} runs in {time.monotonic() - began:.0f} s: {states}", file=sys.stderr, flush=True)
    return found


def outcomes_of(part: tuple[str, int, int]) -> list[Outcome]:
    """Some runs of a case; each has a seed of its own, so that it is the same whatever else is run."""
    name, first, last = part
    return [outcome_of(CASES[name], (SEED, list(CASES).index(name), run), name) for run in range(first, last)]


def outcome_of(case: Case, seed: Sequence[int], name: str = "equal") -> Outcome:
    """One run."""
    users, config = draw(case, np.random.default_rng(seed), HORIZON), config_of(case.margin_failures)
    some = FIRST_LOOK["equal" if name.endswith("equal") else "worse"]
    if not case.late:
        outcome = Run(first(users, some), config).decide()
        if outcome.state in ("live", "rolled_back"):
            return outcome
    return Run(users, config).decide()


def first(users: Users, units: int) -> Users:
    """The first of the units."""
    return replace(users, **{name: getattr(users, name)[:units] for name in Users.__slots__})


def report(outcomes: dict[str, list[Outcome]]) -> dict[str, Any]:
    """The figures of all cases, and those that stand for the whole at the top."""
    main = figures(outcomes, "")
    main["stress"] = {name: figures(outcomes, f"{name}:") for name in STRESS if f"{name}:equal" in outcomes}
    for name in ("three_points_worse", "three_times_slower"):
        if name in outcomes:
            main[name] = _gone(outcomes[name])
    return main


def figures(outcomes: dict[str, list[Outcome]], case: str) -> dict[str, Any]:
    """What became of the equal and of the worse candidates of one case."""
    found: dict[str, Any] = {}
    if f"{case}equal" in outcomes:
        equal = outcomes[f"{case}equal"]
        found |= _rate("false_rollback", [one.state == "rolled_back" for one in equal])
        found |= _rate("equal_proven_within_1500", [_proven(one) for one in equal])
        found |= _rate("equal_promoted_within_1500", [one.state == "live" and one.judged <= 1500 for one in equal])
        found |= _rate("equal_paused", [_was_paused(one) for one in equal])
        found["mean_canary_units_to_prove_quality"] = _mean([one.proven_at for one in equal])
    if f"{case}worse" in outcomes:
        worse = outcomes[f"{case}worse"]
        bad = worse + outcomes.get(f"{case}more_errors", [])
        found |= _rate("false_promotion", [one.state == "live" for one in worse])
        if len(bad) > len(worse):
            found |= _rate("false_promotion", [one.state == "live" for one in bad[len(worse) :]])
        found |= _rate("worse_gone_within_600", [one.state == "rolled_back" and one.judged <= 600 for one in worse])
        found |= {"worse": _gone(worse)}
    return found


def _gone(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """When and why candidates were rolled back."""
    gone = [one for one in outcomes if one.state == "rolled_back"]
    reasons = Counter(one.transitions[-1][2] for one in gone)
    return {
        "states": dict(Counter(one.state for one in outcomes)),
        "mean_canary_units_to_rollback": _mean([one.judged for one in gone]),
        "reasons": dict(reasons.most_common(4)),
    }


def _proven(outcome: Outcome) -> bool:
    return outcome.proven_at is not None and outcome.proven_at <= 1500


def _was_paused(outcome: Outcome) -> bool:
    return any(state == "paused" for state, _, _ in outcome.transitions)


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 1) if known else None


def _rate(name: str, hits: Sequence[bool]) -> dict[str, Any]:
    """A share, with how often of how many and its exact 95 % interval."""
    low, high = clopper_pearson(sum(hits), len(hits))
    counts = {"of": [sum(hits), len(hits)], "interval": [round(low, 4), round(high, 4)]}
    return {name: round(sum(hits) / len(hits), 4), f"{name}_counts": counts}


if __name__ == "__main__":
    main()
