"""Candidate against live by a quantile of anything positive, such as latency: exact evidence at any time.

Howard and Ramdas 2022 (Bernoulli 28:1704) turn "the quantile is x" into a statement on the share at or below x, which
a mixture of binomial likelihood ratios tests at any time. Two arms: if the quantile of b is at least `factor` times
that of a, then at x = the quantile of a both "a has a share of at least p at or below x" and "b has a share of less
than p below factor·x" hold. Evidence against either, or both, is (E_a + E_b + E_a·E_b)/3; the smallest over all x is
evidence against the claim, whatever the distributions. Ties and infinite values are fine.

Values are rounded up to a grid whose cells divide `factor` evenly. Rounding keeps the order, so a claim on the values
is the same claim on what is kept, and the state is one count per cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from flyball.errors import InputError
from flyball.statistics.two_arm import block_is_due

LOGITS = (0.15, 0.3, 0.6, 1.2, 2.4)
"""Alternatives of a share, as steps of its logit away from p."""
FINEST = 0.03
"""Width of a grid cell, as a share of the value, at most."""
SMALLEST = 1e-3
LARGEST = 1e7
"""Values outside count as these: a microsecond and three hours, when they are milliseconds."""
THIRD = math.log(3.0)


def cells_of(factor: float) -> tuple[float, int]:
    """The logarithmic width of a cell, and how many of them make up `factor`."""
    steps = math.ceil(math.log(factor) / FINEST - 1e-9) if factor > 1.0 else 0
    return (math.log(factor) / steps if steps else FINEST), steps


class QuantileHistogram:
    """Counts of one arm's values on the grid, and the cell that holds their p-quantile."""

    def __init__(self, p: float, width: float) -> None:
        self.p, self.width = p, width
        self.counts = [0] * (math.ceil(math.log(LARGEST / SMALLEST) / width) + 2)
        self.total = 0
        self.place = 0  # the cell of the quantile, once settled
        self.below = 0  # values in cells up to that one

    def cell(self, value: float) -> int:
        """The cell of a value: the first whose upper edge reaches it."""
        if value <= SMALLEST:
            return 0
        last = len(self.counts) - 1
        return last if value >= LARGEST else min(math.ceil(math.log(value / SMALLEST) / self.width - 1e-9), last - 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.add_cell(self.cell(value))

    def add_cell(self, cell: int) -> None:
        """Count a value that lies in a cell."""
        self.counts[cell] += 1
        self.total += 1
        self.below += cell <= self.place

    def add_cells(self, cells: Iterable[int]) -> None:
        """Count many values at once."""
        counts, place = self.counts, self.place
        for cell in cells:
            counts[cell] += 1
            self.total += 1
            self.below += cell <= place

    def settle(self) -> None:
        """Move to the first cell with at least a share p at or below it."""
        counts, needed = self.counts, self.p * self.total - 1e-9
        while self.below < needed:
            self.place += 1
            self.below += counts[self.place]
        while self.place and self.below - counts[self.place] >= needed:
            self.below -= counts[self.place]
            self.place -= 1

    @property
    def quantile(self) -> float:
        """The p-quantile of the values, as the upper edge of its cell; NaN without values, infinite in the last."""
        if not self.total:
            return math.nan
        self.settle()
        return math.inf if self.place == len(self.counts) - 1 else SMALLEST * math.exp(self.place * self.width)


class ShareMixture:
    """log E for "the share is p" from a count: alternatives below p (`sign` −1) or above it (+1), averaged."""

    def __init__(self, p: float, sign: int) -> None:
        logit = math.log(p / (1.0 - p))
        shares = [1.0 / (1.0 + math.exp(-(logit + sign * step))) for step in LOGITS]
        self._logs = [(math.log(share / p), math.log((1.0 - share) / (1.0 - p))) for share in shares]

    def log_e(self, below: int, total: int) -> float:
        """Evidence of `below` of `total` values at or below the point."""
        above = total - below
        logs = [below * one + above * other for one, other in self._logs]
        top = max(logs)
        return top + math.log(sum([math.exp(value - top) for value in logs]) / len(logs))


class QuantileBelow:
    """Proves that the p-quantile of b is below `factor` (1 or more) times the p-quantile of a."""

    def __init__(self, p: float, factor: float = 1.0) -> None:
        if not 0.0 < p < 1.0 or not 1.0 <= factor < math.inf:
            raise InputError(
                f"the {p}-quantile within {factor} times cannot be tested", cure="give 0 < p < 1 and a factor from 1"
            )
        self.p, self.factor = p, factor
        self.steps = cells_of(factor)[1]
        self.information = 0.0
        self.pending = [0, 0]
        self.peak = 0.0
        self._less, self._more = ShareMixture(p, -1), ShareMixture(p, 1)

    def take(self, a: QuantileHistogram, b: QuantileHistogram, place: int) -> None:
        """Note that one value was added to a histogram (`place` 0: a's, 1: b's), and look when a block is due."""
        self.pending[place] += 1
        n_a, n_b = self.pending
        if block_is_due(n_a, n_b, self.information):
            self.take_block(a, b, n_a, n_b)

    def take_block(self, a: QuantileHistogram, b: QuantileHistogram, n_a: int, n_b: int) -> None:
        """Look at the histograms after a block of so many values: for those who know when it is due."""
        self.information += n_a * n_b / (n_a + n_b)
        self.pending = [0, 0]
        a.settle()
        self.peak = max(self.peak, self._smallest(a, b))

    def _smallest(self, a: QuantileHistogram, b: QuantileHistogram) -> float:
        """The least log evidence over the grid, or `peak` as soon as one is below it.

        As x grows, evidence of a against "at least p at or below x" falls and that of b against "less than p below
        factor·x" rises. So the search starts where a has its quantile and goes both ways while the evidence that rises
        there is not alone enough.
        """
        end = len(b.counts) - 1  # the last cell is without end: nothing is below it for sure
        other = min(a.place + self.steps - 1, end - 1)
        below_b = sum(b.counts[: other + 1])
        least = self._falling(a, b, other, below_b)
        return self._rising(a, b, other, below_b, least) if least > self.peak else self.peak

    def _falling(self, a: QuantileHistogram, b: QuantileHistogram, other: int, below_b: int) -> float:
        below_a, least = a.below, math.inf
        shift = self.steps - 1
        for cell in range(a.place, -1, -1):
            of_a = self._less.log_e(below_a, a.total)
            if of_a - THIRD >= least:
                break
            least = min(least, together(of_a, self._more.log_e(below_b, b.total)))
            if least <= self.peak:
                break
            below_a -= a.counts[cell]
            wanted = min(cell - 1 + shift, len(b.counts) - 2)
            while other > wanted and other >= 0:
                below_b -= b.counts[other]
                other -= 1
        return least

    def _rising(self, a: QuantileHistogram, b: QuantileHistogram, other: int, below_b: int, least: float) -> float:
        below_a, end = a.below, len(b.counts) - 1
        for cell in range(a.place + 1, end + 1):
            below_a += a.counts[cell]
            new = 0
            while other < min(cell + self.steps - 1, end - 1):
                other += 1
                new += b.counts[other]
            below_b += new
            if not new and not a.counts[cell]:
                continue
            of_b = self._more.log_e(below_b, b.total)
            if of_b - THIRD >= least:
                break
            least = min(least, together(self._less.log_e(below_a, a.total), of_b))
            if least <= self.peak:
                return self.peak
        return least

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return math.exp(-self.peak)

    def rejects(self, alpha: float) -> bool:
        """Whether the claim is proven at error `alpha`, now or at any time before."""
        return self.peak >= -math.log(alpha)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on later besides the histograms, as JSON types."""
        return {
            "p": self.p,
            "factor": self.factor,
            "information": self.information,
            "pending": list(self.pending),
            "peak": self.peak,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> QuantileBelow:
        """The sequence that `state()` described."""
        sequence = cls(state["p"], state["factor"])
        sequence.information, sequence.peak = state["information"], state["peak"]
        sequence.pending = list(state["pending"])
        return sequence


def together(one: float, other: float) -> float:
    """log of (E + F + E·F)/3 from the logarithms of E and F."""
    both = one + other
    top = max(one, other, both)
    return top + math.log(math.exp(one - top) + math.exp(other - top) + math.exp(both - top)) - THIRD
