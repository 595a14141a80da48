"""What the gate's bounds and bootstraps keep and cost, by simulation. Prints one JSON object as its last line.

    python bench/gate_statistics.py [--replicates 10000] [--quick] [--only coverage,false_pass,…]

The functions that decide are called: `rollout/gate_bounds.py`, `gate_pairs.py`, `gate_clusters.py`, `gate.checks_of`,
`multiplicity.spent_share`. Independent cases reach them as counts, so each count is judged once and drawn often. A
measure "at its margin" is one that must not pass; the 19 others are far better than they must be, which is the worst
case for false passes. Not called `statistics.py`: beside the other scripts that would hide Python's own module.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import checks_of, verdict_of
from flyball.rollout.gate_bounds import cases_against, scores_against
from flyball.rollout.gate_clusters import Case, stricter
from flyball.rollout.gate_judged import Judged
from flyball.rollout.gate_pairs import pairs_against_live
from flyball.rollout.gate_scores import Scored
from flyball.statistics.beta import binomial_cdf
from flyball.statistics.classification import macro_f1_replicates
from flyball.statistics.group_gaps import GroupCase, Groups
from flyball.statistics.intervals import clopper_pearson, clopper_pearson_lower
from flyball.statistics.multiplicity import spent_share

SEED = 20_261_129
ALPHA, MARGIN, THRESHOLD, ICC, MEASURES = 0.05, 0.05, 0.8, 0.2, 20
SIZES = (100, 200, 400, 800, 1600)
CLUSTERS = ((20, 20), (50, 8), (100, 10))
CANDIDATES = (5, 10, 50)
PAIRED = GateConfig(rules=(GateRule(measure="exact_match", not_worse_than_live=MARGIN),) * MEASURES, alpha=ALPHA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=10_000, help="of each case")
    parser.add_argument("--quick", action="store_true", help="500 replicates and a twentieth of the rows")
    parser.add_argument("--only", default="", help="of the parts, with commas between them")
    options = parser.parse_args()
    times = 500 if options.quick else options.replicates
    few = max(500, times // 5)  # where cases are judged one by one, or a percent is close enough
    parts: dict[str, Callable[[], Any]] = {
        "coverage": lambda: coverage(quick=options.quick),
        "false_pass": lambda: false_pass(times),
        "false_pass_clustered": lambda: false_pass_clustered(few),
        "false_pass_repeated": lambda: false_pass_repeated(times),
        "pass_rate_identical": lambda: pass_rate_identical(few),
        "power": lambda: power(few),
        "bootstrap_seconds": lambda: bootstrap_seconds(20 if options.quick else 1),
    }
    found: dict[str, Any] = {"replicates": times, "replicates_of_other_parts": few}
    for name, part in parts.items():
        if options.only and name not in options.only.split(","):
            continue
        began = time.perf_counter()
        found[name] = part()
        print(f"{name}: {json.dumps(found[name])} ({time.perf_counter() - began:.1f} s)", file=sys.stderr, flush=True)
    print(json.dumps(found))


def share(count: int, times: int) -> dict[str, Any]:
    """A simulated rate with its exact 95 % interval."""
    return {"rate": count / times, "interval": [round(bound, 4) for bound in clopper_pearson(count, times)]}


@cache
def paired(won: int, lost: int, n: int, alpha: float = ALPHA) -> Judged:
    """The gate's judgement of so many pairs won and lost."""
    ours, theirs = {}, {}
    for at in range(n):
        mine, live = (1.0, 0.0) if at < won else (0.0, 1.0) if at < won + lost else (1.0, 1.0)
        ours[str(at)] = Scored(suite="s", item=str(at), measure="exact_match", score=mine)
        theirs[str(at)] = Scored(suite="s", item=str(at), measure="exact_match", score=live)
    return pairs_against_live(ours, theirs, n, -MARGIN, alpha)


@cache
def absolute(right: int, n: int) -> Judged:
    """The gate's judgement of so many cases answered rightly, against the threshold."""
    return scores_against([1.0] * right + [0.0] * (n - right), "at_least", THRESHOLD, ALPHA)


def pairs_drawn(dice: np.random.Generator, n: int, won: float, lost: float, size: Any) -> Any:
    """(won, lost, alike) counts of `n` independent pairs."""
    return dice.multinomial(n, [won, lost, 1.0 - won - lost], size=size)


def verdicts(
    dice: np.random.Generator, n: int, first: tuple[float, float], others: tuple[float, float], times: int
) -> Counter[str]:
    """How often each verdict falls over 20 measures of `n` pairs, of which the first differs."""
    one = pairs_drawn(dice, n, *first, times)
    rest = pairs_drawn(dice, n, *others, (times, MEASURES - 1))
    found: Counter[str] = Counter()
    for at in range(times):
        judged = [paired(int(one[at, 0]), int(one[at, 1]), n)]
        judged += [paired(int(won), int(lost), n) for won, lost, _ in rest[at]]
        found[verdict_of(checks_of(PAIRED, judged))] += 1
    return found


def false_pass(times: int) -> dict[str, Any]:
    """20 measures, one exactly at its margin: how often all pass."""
    dice, found = np.random.default_rng(SEED), {}
    for n in SIZES:
        for won in (0.0, 0.02, 0.10):
            counted = verdicts(dice, n, (won, won + MARGIN), (0.2, 0.0), times)
            found[f"paired n={n} won={won:g}"] = share(counted["pass"], times)
        passed = sum(absolute(int(right), n).passed for right in dice.binomial(n, THRESHOLD, times))
        found[f"share n={n}"] = share(passed, times)
    return {"worst": max(one["rate"] for one in found.values()), "cases": found}


def alike(dice: np.random.Generator, mean: float, groups: int) -> Any:
    """A probability for each cluster, so that cases of one cluster have the intraclass correlation ICC."""
    return dice.beta(mean * (1.0 / ICC - 1.0), (1.0 - mean) * (1.0 / ICC - 1.0), groups)


def clustered_cases(dice: np.random.Generator, groups: int, each: int) -> list[Case]:
    """Cases right with probability THRESHOLD."""
    right = dice.random((groups, each)) < alike(dice, THRESHOLD, groups)[:, None]
    return [Case(float(one), f"{group}") for group in range(groups) for one in right[group]]


def clustered_pairs(dice: np.random.Generator, groups: int, each: int) -> list[Case]:
    """Differences of pairs: half of those that differ are alike within their cluster; lost − won is MARGIN."""
    lost = dice.random((groups, each)) < alike(dice, 0.10, groups)[:, None]
    won = (dice.random((groups, each)) < 0.05 / 0.90) & ~lost
    return [Case(float(won[g, at]) - float(lost[g, at]), f"{g}") for g in range(groups) for at in range(each)]


def false_pass_clustered(times: int) -> dict[str, Any]:
    """Clusters with ICC .2 at the threshold, or at the margin: how often the gate passes them."""
    dice, found = np.random.default_rng(SEED + 1), {}
    for groups, each in CLUSTERS:
        name, n = f"{groups} clusters of {each}", groups * each
        passed = sum(
            cases_against(clustered_cases(dice, groups, each), "at_least", THRESHOLD, ALPHA).passed
            for _ in range(times)
        )
        naive = sum(
            absolute(int(right), n).passed
            for right in (
                sum(int(case.value) for case in clustered_cases(dice, groups, each)) for _ in range(times // 10)
            )
        )
        found[f"share, {name}"] = share(passed, times) | {"as_if_independent": naive / (times // 10)}
        passed = 0
        for _ in range(times):
            cases = clustered_pairs(dice, groups, each)
            won, lost = sum(case.value > 0 for case in cases), sum(case.value < 0 for case in cases)
            judged = paired(won, lost, n)
            passed += (
                judged.passed and stricter(judged, cases, lower=True, threshold=-MARGIN, alpha=ALPHA, good=0.0).passed
            )
        found[f"paired, {name}"] = share(passed, times)
    return {"worst": max(one["rate"] for one in found.values()), "cases": found}


def false_pass_repeated(times: int) -> dict[str, Any]:
    """Candidates at the margin that come in turn on one suite of 400: how often any passes, and with no α spent."""
    dice, n, found = np.random.default_rng(SEED + 2), 400, {}
    drawn = pairs_drawn(dice, n, 0.02, 0.02 + MARGIN, (times, max(CANDIDATES)))
    for candidates in CANDIDATES:
        spent = unspent = 0
        for row in drawn[:, :candidates].tolist():
            spent += any(
                paired(won, lost, n, ALPHA * spent_share(look)).passed for look, (won, lost, _) in enumerate(row, 1)
            )
            unspent += any(paired(won, lost, n).passed for won, lost, _ in row)
        found[str(candidates)] = share(spent, times) | {"without_spending": unspent / times}
    return {"worst": max(one["rate"] for one in found.values()), "candidates": found}


def pass_rate_identical(times: int) -> dict[str, Any]:
    """20 measures of a candidate that is as good as live, by pairs and by the share of answers that differ."""
    dice = np.random.default_rng(SEED + 3)
    return {
        f"{differ:g} differ": {
            str(n): verdicts(dice, n, (differ / 2, differ / 2), (differ / 2, differ / 2), times)["pass"] / times
            for n in SIZES
        }
        for differ in (0.0, 0.02, 0.10)
    }


def power(times: int) -> dict[str, Any]:
    """20 measures, one worse by so much, the others as good as live (2 % differ): how often the gate fails it."""
    dice = np.random.default_rng(SEED + 4)
    return {
        f"worse by {worse:g}": {
            str(n): verdicts(dice, n, (0.02, 0.02 + worse), (0.01, 0.01), times)["fail"] / times for n in SIZES
        }
        for worse in (0.10, 0.15, 0.20)
    }


def sizes(*, quick: bool) -> Iterator[int]:
    """Every n to 100, then steps of about a twentieth, to 20,000."""
    n = 20
    while n <= (1_000 if quick else 20_000):
        yield n
        n += 1 if n < 100 else n // 20
    yield 1_000 if quick else 20_000


def coverage(*, quick: bool) -> dict[str, Any]:
    """Coverage of the one-sided Clopper–Pearson lower bound by enumeration, over n and p from .01 to .99."""
    table: dict[str, dict[str, float]] = {}
    least, below, checked = 1.0, 0, 0
    shown = {20, 100, 1_000, 20_000}
    for n in sizes(quick=quick):
        for p in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99):
            covered = binomial_cdf(most_covered(n, p), n, p)
            least, checked = min(least, covered), checked + 1
            below += covered < 1.0 - ALPHA - 1e-9
            if n in shown and p in (0.01, 0.1, 0.5, 0.9, 0.99):
                table.setdefault(str(n), {})[str(p)] = round(covered, 4)
    return {"nominal": 1.0 - ALPHA, "least": least, "below_nominal": below, "checked": checked, "table": table}


def most_covered(n: int, p: float) -> int:
    """The most successes whose lower bound still covers `p`."""
    low, high = -1, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        covers = clopper_pearson_lower(middle, n, ALPHA) <= p
        low, high = (middle, high) if covers else (low, middle)
    return low


def bootstrap_seconds(part: int) -> dict[str, float]:
    """CPU seconds: macro F1 of 200,000 rows of 2 and 77 labels; parity of 4 groups, 100,000 rows, 20,000 replicates."""
    dice, found = np.random.default_rng(SEED + 5), {}
    for labels in (2, 77):
        truth = dice.integers(labels, size=200_000 // part)
        answer = np.where(dice.random(len(truth)) < 0.8, truth, dice.integers(labels, size=len(truth)))
        pairs = [(f"l{a}", f"l{b}") for a, b in zip(truth.tolist(), answer.tolist(), strict=True)]
        began = time.process_time()
        macro_f1_replicates(pairs)
        found[f"macro_f1, {labels} labels"] = round(time.process_time() - began, 3)
    groups, outcomes = dice.integers(4, size=100_000 // part), dice.integers(4, size=100_000 // part)
    kinds = [{"group": f"g{at}"} for at in range(4)]
    cases = [
        GroupCase(kinds[g], ("tp", "fp", "fn", "tn")[o])
        for g, o in zip(groups.tolist(), outcomes.tolist(), strict=True)
    ]
    began = time.process_time()
    counted = Groups(cases, knows_truth=True)
    found["counting of groups"] = round(time.process_time() - began, 3)
    began = time.process_time()
    assert counted.replicates.arrays
    counted.one("statistical_parity_difference", ("group",), 0.95)
    found["fairness"] = round(time.process_time() - began, 3)
    return found


if __name__ == "__main__":
    main()
