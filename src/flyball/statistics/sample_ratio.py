"""Is the split of units what was planned? And which loss of units would have been seen by now?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from flyball.errors import InputError
from flyball.statistics.beta import binomial_cdf, log_beta


class SampleRatio:
    """Against "each unit joins the canary with probability `share`": grows when units are lost or misassigned.

    Beta-binomial mixture over all other shares, centred on `share` (Lindon and Malek 2022, NeurIPS). One per ramp step.
    """

    STRENGTH = 100.0

    def __init__(self, share: float, *, canary: int = 0, live: int = 0, peak: float = 0.0) -> None:
        if not 0.0 < share < 1.0:
            raise InputError(f"a share of {share} cannot be tested", cure="give one strictly between 0 and 1")
        self.share, self.canary, self.live, self.peak = share, canary, live, peak

    def update(self, *, canary: int = 0, live: int = 0) -> float:
        """Add newly assigned units and give the e-value after them."""
        self.canary += canary
        self.live += live
        evidence = self._log_e(self.canary, self.share)
        self.peak = max(self.peak, evidence)
        return math.exp(min(evidence, 700.0))

    def _log_e(self, canary: float, share: float) -> float:
        """log E against `share` if so many of the units seen so far were the canary's."""
        live = self.canary + self.live - canary
        a, b = self.STRENGTH * self.share, self.STRENGTH * (1.0 - self.share)
        evidence = log_beta(a + canary, b + live) - log_beta(a, b)
        return evidence - canary * math.log(share) - live * math.log1p(-share)

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return math.exp(-self.peak)

    def rejects(self, alpha: float) -> bool:
        """Whether the assignment is proven wrong at error `alpha`."""
        return self.peak >= -math.log(alpha)

    def excluded_loss(self, alpha: float) -> float:
        """The largest share of the canary's units that may have been lost: more is excluded at error `alpha`.

        From the lower end of the confidence sequence of the canary's share; valid at any time.
        """
        if not self.canary:
            return 1.0
        limit, seen = -math.log(alpha), self.canary / (self.canary + self.live)
        low = _bisect(lambda share: limit - self._log_e(self.canary, share), 1e-12, seen)
        return min(1.0, max(0.0, self._loss(low)))

    def detectable_loss(self, alpha: float, power: float = 0.8) -> float:
        """The smallest share of lost canary units that so many units show, at error `alpha`, with this power.

        At this one look; looks before it only add power. 1 when no loss could have been seen yet.
        """
        n, limit = self.canary + self.live, -math.log(alpha)
        if not n or self._log_e(0, self.share) < limit:
            return 1.0
        low, high = 0, int(n * self.share)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._log_e(middle, self.share) >= limit else (low, middle)
        found = _bisect(lambda loss: binomial_cdf(low, n, self._share_after(loss)) - power, 0.0, 1.0)
        return min(1.0, found)

    def _share_after(self, loss: float) -> float:
        kept = self.share * (1.0 - loss)
        return kept / (kept + 1.0 - self.share)

    def _loss(self, share: float) -> float:
        return 1.0 - share * (1.0 - self.share) / (self.share * (1.0 - share))

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return {"share": self.share, "canary": self.canary, "live": self.live, "peak": self.peak}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """The sequence that `state()` described."""
        return cls(state["share"], canary=state["canary"], live=state["live"], peak=state["peak"])


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """The root of a rising function to three digits of the scale; it is only shown."""
    for _ in range(20):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < 0.0 else (low, middle)
    return (low + high) / 2.0
