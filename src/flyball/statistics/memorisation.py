"""Whether a model memorised canaries: exposure, and an audit by guesses. Pure.

Canaries are invented texts; a fair coin of each decides whether it is planted in the training rows or held out. What a
model makes of a canary gets a score that is higher the better it knows it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from flyball.errors import InputError
from flyball.statistics.beta import binomial_sf
from flyball.statistics.intervals import clopper_pearson_lower


def exposure(score: float, held_out: Sequence[float]) -> float:
    """log2(n) − log2(rank) of a planted canary among n − 1 held-out ones, in bits.

    Carlini et al. 2019, "The Secret Sharer", USENIX Security, with held-out canaries in place of all possible ones:
    0 is the last rank, log2(n) the first. A tie counts as known less well.
    """
    ordered = sorted(held_out)
    n = len(ordered) + 1
    return math.log2(n) - math.log2(n - bisect_left(ordered, score))


@dataclass(frozen=True, slots=True)
class Audit:
    """How many of so many guesses were right, and what that proves; `p_value` is against no memorisation."""

    right: int
    guesses: int
    p_value: float

    def epsilon_lower(self, alpha: float) -> float:
        """The lower bound of the ε of differential privacy (δ = 0) that training had; 0 where nothing is proven.

        Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run", NeurIPS, theorem 5.2: right
        guesses are at most binomial with probability e^ε / (1 + e^ε).
        """
        share = clopper_pearson_lower(self.right, self.guesses, alpha)
        return max(0.0, math.log(share / (1.0 - share))) if share > 0.0 else 0.0


def audit(scores: Sequence[float], planted: Sequence[bool], *, guesses: int | None = None) -> Audit:
    """Guess that the highest scores are planted and the lowest held out, as many of each (by default a third).

    Exact where a fair coin of each canary decided alone whether it was planted. Ties keep the order of the canaries,
    which must not depend on the coins. InputError where there are not two canaries for a pair of guesses.
    """
    if len(scores) != len(planted):
        raise InputError(f"{len(scores)} scores, but {len(planted)} canaries", cure="give one score for each canary")
    each = len(scores) // 3 if guesses is None else guesses // 2
    if each < 1 or 2 * each > len(scores):
        raise InputError(
            f"{len(scores)} canaries do not allow {2 * each} guesses", cure="audit with 100 canaries or more"
        )
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    right = sum(planted[at] for at in order[:each]) + sum(not planted[at] for at in order[-each:])
    return Audit(right, 2 * each, binomial_sf(right, 2 * each, 0.5))
