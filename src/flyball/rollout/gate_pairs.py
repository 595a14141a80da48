"""The candidate against the live release on the same items.

A case that the candidate did not answer is one it got wrong. A case that live did not answer counts as answered rightly
by live when the candidate asks to pass, and wrongly when it is to be failed: a failing live never helps a candidate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.errors import ConfigError
from flyball.records.measure_direction import LESS_IS_BETTER
from flyball.rollout.config import GateRule
from flyball.rollout.gate_bounds import CLUSTERED_F1
from flyball.rollout.gate_clusters import Case, independent, stricter
from flyball.rollout.gate_judged import QUANTILES, Judged, scaled_n, unmeasured
from flyball.rollout.gate_scores import Evidence, Scored
from flyball.statistics.classification import (
    Drawn,
    macro_f1_difference,
    macro_f1_difference_replicates,
    method,
    percentile,
)
from flyball.statistics.intervals import clopper_pearson_upper
from flyball.statistics.means import mean_at_least_p_value, mean_lower
from flyball.statistics.paired import fewest_pairs, needed_pairs, tango_lower, worse_p_value


def against_live(rule: GateRule, evidence: Evidence, live: Evidence, least: float, alpha: float) -> Judged:
    """Candidate − live on the same items: its lower bound must exceed `least` (−margin, or the lead asked for)."""
    measure = "accuracy" if rule.measure == "macro_f1" else rule.measure
    if rule.measure in QUANTILES or measure == "latency_ms":
        raise ConfigError(f"{rule.measure} is not compared in pairs", cure="use at_most with a number of milliseconds")
    if rule.measure in LESS_IS_BETTER:
        raise ConfigError(
            f"less {rule.measure} is better, and pairs with live take more for better",
            cure=f"use at_most for {rule.measure}, or compare a measure of which more is better",
        )
    ours, theirs = evidence.of(rule.suite, measure, rule.slice), live.of(rule.suite, measure, rule.slice)
    if not ours or not theirs:
        return unmeasured(rule, evidence if not ours else live)
    size = max(evidence.size(rule.suite, rule.slice, measure=measure), len(ours.keys() | theirs.keys()))
    cases = differences(ours, theirs, size)
    if rule.measure == "macro_f1":
        if not independent(cases):
            return Judged(n=size, passed=False, reason=CLUSTERED_F1)
        return macro_f1_against_live(ours, theirs, size, least, alpha, drawn=evidence.drawn)
    graded = any(row.score not in (0.0, 1.0) for row in (*ours.values(), *theirs.values()))
    judged = (scores_against_live if graded else pairs_against_live)(ours, theirs, size, least, alpha)
    return stricter(judged, cases, lower=True, threshold=least, alpha=alpha, good=0.0)


def differences(ours: Mapping[str, Scored], theirs: Mapping[str, Scored], size: int) -> list[Case]:
    """Candidate − live of each case; live counts as right where it did not answer."""
    found = []
    for item in sorted(ours.keys() | theirs.keys()):
        mine = ours[item].score if item in ours and not ours[item].error else 0.0
        live = theirs[item].score if item in theirs and not theirs[item].error else 1.0
        row = ours.get(item) or theirs[item]
        found.append(Case(mine - live, row.cluster or f"case {item}", row.weight))
    return found + [Case(-1.0, f"missing {number}") for number in range(size - len(found))]


def pairs_against_live(
    ours: Mapping[str, Scored], theirs: Mapping[str, Scored], size: int, least: float, alpha: float
) -> Judged:
    """Right or wrong on both sides: Tango's score bound, and never below the exact number of pairs."""
    wins, losses, undecided = count_pairs(ours, theirs, size)
    # asking to pass: live counts as right where it did not answer
    lost = losses + undecided.ours_wrong
    bound = tango_lower(wins, lost, size, alpha)
    if wins == 0:  # Tango's normal approximation is too kind there: up to 6.8 % at 5 %
        bound = min(bound, -clopper_pearson_upper(lost, size, alpha))
    value = (wins + undecided.ours_right - losses) / size
    fewest = fewest_pairs(-least, alpha)
    passed = bound > least and size >= fewest
    needed = needed_pairs(wins / size, (losses + undecided.ours_wrong) / size, least, alpha)
    few = f"; fewer than the {fewest} pairs that such a margin needs" if bound > least and not passed else ""
    return Judged(
        n=size,
        passed=passed,
        reason=f"difference {value:+.4f}, lower bound {bound:+.4f} at error {alpha:g} (Tango, {wins} won, "
        f"{losses} lost, {undecided.total} unanswered by live, {size} pairs) {relation(bound, least)}{few}",
        value=value,
        bound=bound,
        p_value=worse_p_value(wins + undecided.ours_right, losses, size, least),
        needed_n=None if passed or needed is None else max(needed, fewest, size + 1),
    )


def relation(bound: float, least: float) -> str:
    """The bound beside what it must exceed, in words."""
    return f"{'exceeds' if bound > least else 'does not exceed'} {least:+g}"


@dataclass(frozen=True, slots=True)
class Undecided:
    """Pairs without an answer of live's, by how the candidate did."""

    ours_right: int
    ours_wrong: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.ours_right + self.ours_wrong


def count_pairs(ours: Mapping[str, Scored], theirs: Mapping[str, Scored], size: int) -> tuple[int, int, Undecided]:
    """(won, lost, without live's answer); a case that the candidate did not answer is one it got wrong."""
    wins = losses = right = wrong = 0
    for item in ours.keys() | theirs.keys():
        good = item in ours and not ours[item].error and ours[item].score == 1.0
        if item not in theirs or theirs[item].error:
            right, wrong = right + good, wrong + (not good)
        else:
            live_good = theirs[item].score == 1.0
            wins, losses = wins + (good and not live_good), losses + (live_good and not good)
    return wins, losses, Undecided(right, wrong + size - len(ours.keys() | theirs.keys()))


def scores_against_live(
    ours: Mapping[str, Scored], theirs: Mapping[str, Scored], size: int, least: float, alpha: float
) -> Judged:
    """Graded scores in [0, 1]: betting bounds on the mean of the differences, mapped to [0, 1]."""

    def differences(live_default: float) -> list[float]:
        pairs = [
            (
                ours[item].score if item in ours and not ours[item].error else 0.0,
                theirs[item].score if item in theirs and not theirs[item].error else live_default,
            )
            for item in sorted(ours.keys() | theirs.keys())
        ]
        return [(1.0 + a - b) / 2.0 for a, b in pairs] + [(1.0 - live_default) / 2.0] * (size - len(pairs))

    worst, best = differences(1.0), differences(0.0)
    if not all(0.0 <= value <= 1.0 for value in (*worst, *best)):
        return Judged(n=size, passed=False, reason="scores outside 0 to 1 have no bound here")
    value = 2.0 * math.fsum(best) / size - 1.0
    bound = 2.0 * mean_lower(worst, alpha) - 1.0
    return Judged(
        n=size,
        passed=bound > least,
        reason=f"difference {value:+.4f}, lower bound {bound:+.4f} at error {alpha:g} (betting, {size} pairs) "
        f"{relation(bound, least)}",
        value=value,
        bound=bound,
        p_value=mean_at_least_p_value(best, (1.0 + least) / 2.0, alpha),
        needed_n=None if bound > least else scaled_n(size, value, bound, least),
    )


def macro_f1_against_live(
    ours: Mapping[str, Scored], theirs: Mapping[str, Scored], size: int, least: float, alpha: float, *, drawn: Drawn
) -> Judged:
    """Macro F1 of both by a seeded bootstrap over the same items; inconclusive when live lacks answers."""
    unanswered = size - sum(item in ours and item in theirs and not theirs[item].error for item in theirs)
    if unanswered:
        return Judged(n=size, passed=False, reason=f"{unanswered} of {size} cases are without live's answer")
    triples = [(theirs[item].expected or "", ours[item].answer, theirs[item].answer) for item in sorted(theirs)]
    value, replicates = macro_f1_difference(Counter(triples)), macro_f1_difference_replicates(triples, drawn=drawn)
    bound = min(value, percentile(replicates, alpha))
    passed = bound > least and size >= fewest_pairs(-least, alpha)
    return Judged(
        n=size,
        passed=passed,
        reason=f"difference {value:+.4f}, lower bound {bound:+.4f} at error {alpha:g} ({method(size, drawn)}, "
        f"{size} pairs) {relation(bound, least)}",
        value=value,
        bound=bound,
        p_value=(sum(replicate >= least for replicate in replicates) + 1) / (len(replicates) + 1),
        needed_n=None if passed else scaled_n(size, value, bound, least),
    )
