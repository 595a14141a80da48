"""Whether a model's confidence is right: Brier score, expected calibration error, and what abstention would gain.

Brier score (Brier 1950, Monthly Weather Review 78:1): the mean of (confidence - right)². Expected calibration error
(Guo et al. 2017, ICML, "On Calibration of Modern Neural Networks"): over bins of equal width, |accuracy - confidence|
weighted by items. Coverage curve (El-Yaniv and Wiener 2010, JMLR 11:1605): accuracy of the items at or above each
confidence; items of equal confidence are answered together. Intervals: Bayesian bootstrap (classification.py) over
items; beyond `MOST_CELLS` of them neighbours of one bin share a weight. By the standard library alone.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flyball.statistics.classification import MOST_WEIGHTS, REPLICATES, SEED, gamma_weight, percentile_interval
from flyball.statistics.intervals import Interval

BINS: Final = 15
MOST_CELLS: Final = 200
_EDGES: Final = tuple((place + 1) / BINS for place in range(BINS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sure:
    """One item: the confidence from 0 to 1, whether the answer was right; `answered` False: no answer at all.

    No answer is as far off as can be in the calibration error, and comes last on the coverage curve, as wrong.
    """

    confidence: float
    right: bool
    answered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Items that are weighted together, all right or all wrong.

    `gap`: right - confidence, on average. `bin`: `BINS` for no answer. `ends`: the next cell is of a lower confidence.
    """

    n: int
    right: bool
    gap: float
    bin: int
    ends: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bar of a reliability plot: confidences above `lower` up to `upper`."""

    lower: float
    upper: float
    n: int
    right: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """The items at or above a confidence: how many, and how many of them right."""

    threshold: float
    n: int
    right: int


def bin_of(confidence: float) -> int:
    """The bin of a confidence: above (m - 1) / 15, up to m / 15; 0 is in the first."""
    return min(bisect_left(_EDGES, confidence), BINS - 1)


def reliability(items: Sequence[Sure]) -> tuple[Bin, ...]:
    """The bins that hold answers, lowest first."""
    held: dict[int, list[Sure]] = {}
    for item in items:
        if item.answered:
            held.setdefault(bin_of(item.confidence), []).append(item)
    return tuple(
        Bin(
            lower=place / BINS,
            upper=(place + 1) / BINS,
            n=len(some),
            right=sum(one.right for one in some),
            confidence=sum(one.confidence for one in some) / len(some),
        )
        for place, some in sorted(held.items())
    )


def coverage(items: Sequence[Sure]) -> Iterator[Covered]:
    """A point for each confidence that was given, highest first; items without an answer are on none."""
    ordered = sorted((one for one in items if one.answered), key=lambda one: -one.confidence)
    right = 0
    for count, item in enumerate(ordered, start=1):
        right += item.right
        if count == len(ordered) or ordered[count].confidence != item.confidence:
            yield Covered(threshold=item.confidence, n=count, right=right)


def best_coverage(items: Sequence[Sure], accuracy: float) -> Covered | None:
    """The most items that a threshold answers with this accuracy or more; None where no threshold does."""
    fit = [point for point in coverage(items) if point.right >= accuracy * point.n]
    return fit[-1] if fit else None


def calibration_error(items: Sequence[Sure]) -> float:
    """The expected calibration error, from 0 to 1."""
    return _values(items)[0]


def area_under_coverage(items: Sequence[Sure]) -> float:
    """The mean accuracy over all coverages: of each step of the curve, weighted by the items that it adds."""
    return _values(items)[1]


def bounds(items: Sequence[Sure], level: float, *, seed: int = SEED) -> tuple[Interval, Interval]:
    """Two-sided intervals of the calibration error and of the area."""
    cells, dice = _merged(items), random.Random(seed)
    counts = [cell.n for cell in cells]
    draws = [
        _error_and_area(cells, [gamma_weight(dice, count) for count in counts])
        for _ in range(max(100, min(REPLICATES, MOST_WEIGHTS // len(cells))))
    ]
    errors, areas = (sorted(values) for values in zip(*draws, strict=True))
    return percentile_interval(errors, level), percentile_interval(areas, level)


def _values(items: Sequence[Sure]) -> tuple[float, float]:
    cells = _cells([(one,) for one in _ordered(items)])
    return _error_and_area(cells, [cell.n for cell in cells])


def _ordered(items: Sequence[Sure]) -> list[Sure]:
    """Highest confidence first, without an answer last."""
    return sorted(items, key=lambda one: (not one.answered, -one.confidence))


def _merged(items: Sequence[Sure]) -> list[Cell]:
    """Cells of about equally many neighbours of one bin, the right ones apart from the wrong."""
    steps: dict[tuple[bool, int, int], list[Sure]] = {}
    for place, item in enumerate(_ordered(items)):
        chunk = place * MOST_CELLS // len(items) if len(items) > MOST_CELLS else place
        steps.setdefault((item.answered, bin_of(item.confidence), chunk), []).append(item)
    return _cells(list(steps.values()))


def _cells(steps: Sequence[Sequence[Sure]]) -> list[Cell]:
    """Of each step its right items, then its wrong ones; steps of equal confidence end together."""
    marks = [(some[0].answered, _mean(some)) for some in steps]
    cells: list[Cell] = []
    for place, some in enumerate(steps):
        last = place + 1 == len(steps) or marks[place + 1] != marks[place]
        parts = [part for right in (True, False) if (part := [one for one in some if one.right == right])]
        for part in parts:
            answered, right = part[0].answered, part[0].right
            cells.append(
                Cell(
                    n=len(part),
                    right=right,
                    gap=right - _mean(part) if answered else 1.0,
                    bin=bin_of(_mean(part)) if answered else BINS,
                    ends=last and part is parts[-1],
                )
            )
    return cells


def _mean(items: Sequence[Sure]) -> float:
    return sum(one.confidence for one in items) / len(items)


def _error_and_area(cells: Sequence[Cell], weights: Sequence[float]) -> tuple[float, float]:
    gaps = [0.0] * (BINS + 1)
    n = right = area = since = 0.0
    for cell, weight in zip(cells, weights, strict=True):
        n += weight
        since += weight
        if cell.right:
            right += weight
        gaps[cell.bin] += weight * cell.gap
        if cell.ends:
            area += since * right / n if n else 0.0
            since = 0.0
    return sum(map(abs, gaps)) / n, area / n
