"""Two answers to the same items: the score interval for a difference of paired proportions.

Tango 1998 (Statistics in Medicine 17:891). `wins`: candidate right and baseline wrong; `losses`: the other way round;
`n`: all pairs. The difference is candidate − baseline = (wins − losses) / n. McNemar's test cannot prove that a
candidate is not worse; this one can, because it tests every difference and not only zero.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from flyball.errors import InputError
from flyball.statistics.beta import solve_rising
from flyball.statistics.intervals import smallest


def score(wins: float, losses: float, n: float, difference: float) -> float:
    """Tango's statistic for "the true difference is `difference`": about standard normal when it is."""
    a = 2.0 * n
    b = -wins - losses + (2.0 * n - wins + losses) * difference
    c = -losses * difference * (1.0 - difference)
    lost = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)  # restricted estimate of P(loss)
    variance = n * (2.0 * lost + difference * (1.0 - difference))
    gap = wins - losses - n * difference
    if variance <= 1e-12 * n:
        return 0.0 if abs(gap) < 1e-9 * n else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango_lower(wins: float, losses: float, n: float, alpha: float) -> float:
    """One-sided lower bound of candidate − baseline at error `alpha`; −1 when nothing was measured."""
    _check_pairs(wins, losses, n)
    if n == 0:
        return -1.0
    z = NormalDist().inv_cdf(1.0 - alpha)
    return solve_rising(lambda difference: z - score(wins, losses, n, difference), -1.0, (wins - losses) / n)


def worse_p_value(wins: float, losses: float, n: float, difference: float) -> float:
    """p-value against "the true difference is at least `difference`": small when the candidate is proven worse."""
    _check_pairs(wins, losses, n)
    return NormalDist().cdf(score(wins, losses, n, difference)) if n else 1.0


def fewest_pairs(margin: float, alpha: float) -> int:
    """Below this many pairs nothing is proven even if both always agree: (1 − margin)^n ≤ alpha (149 at 2 points).

    The score interval alone would say yes a little earlier (133), where its normal approximation is too kind.
    """
    if margin <= 0.0:
        return 1
    return 1 if margin >= 1.0 else math.ceil(math.log(alpha) / math.log1p(-margin) - 1e-9)


def needed_pairs(win_rate: float, loss_rate: float, difference: float, alpha: float) -> int | None:
    """Pairs after which the lower bound exceeds `difference` if the observed rates hold; None: never."""
    if win_rate - loss_rate <= difference:
        return None
    z = NormalDist().inv_cdf(1.0 - alpha)
    found = smallest(lambda n: score(win_rate * n, loss_rate * n, float(n), difference) > z)
    return None if found is None else max(found, fewest_pairs(-difference, alpha))


def _check_pairs(wins: float, losses: float, n: float) -> None:
    if min(wins, losses) < 0 or wins + losses > n * (1 + 1e-9):
        raise InputError(f"{wins} wins and {losses} losses of {n} pairs", cure="count each pair once")
