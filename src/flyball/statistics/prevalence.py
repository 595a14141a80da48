"""The share of positives behind an imperfect test, and its interval.

Rogan and Gladen 1978, American Journal of Epidemiology 107:71. The interval is Lang and Reiczigel's (2014, Preventive
Veterinary Medicine 113:13), for a sensitivity and specificity that were themselves counted on few cases.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

LEAST_YOUDEN: Final = 0.1
"""Of sensitivity + specificity − 1; a test that tells less corrects nothing."""


def true_share(
    positives: float, n: float, *, sensitivity: tuple[int, int], specificity: tuple[int, int], level: float
) -> tuple[float, float, float] | None:
    """(estimate, lower, upper), within 0 and 1; None where the test tells too little.

    Also none where the interval leaves 0 to 1: the test then errs otherwise here than where it was counted.

    `n` may be the number of independent cases that clustered ones are worth.
    `sensitivity`: (found, all) of known positives; `specificity`: (passed, all) of known negatives.
    """
    (found, with_it), (passed, without) = sensitivity, specificity
    if not n or not with_it or not without:
        return None
    youden = found / with_it + passed / without - 1.0
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    share = (positives + z * z / 2.0) / (n + z * z)
    right, passing = (found + 1) / (with_it + 2), (passed + 1) / (without + 2)
    divisor = right + passing - 1.0
    if min(youden, divisor) < LEAST_YOUDEN:
        return None
    estimate = (positives / n + passed / without - 1.0) / youden
    centre = (share + passing - 1.0) / divisor
    of_right, of_passing = right * (1 - right) / (with_it + 2), passing * (1 - passing) / (without + 2)
    shift = 2.0 * z * z * (centre * of_right - (1.0 - centre) * of_passing)
    spread = share * (1 - share) / (n + z * z) + centre**2 * of_right + (1.0 - centre) ** 2 * of_passing
    half = z * math.sqrt(spread) / divisor
    lower, upper = centre + shift - half, centre + shift + half
    if upper <= 0.0 or lower >= 1.0:
        return None
    estimate = min(1.0, max(0.0, estimate))
    return estimate, min(estimate, max(0.0, lower)), max(estimate, min(1.0, upper))
