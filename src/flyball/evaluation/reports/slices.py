"""The slices that a report shows: each suite's worst parts, and how far groups are apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from flyball.evaluation.measures.summaries import ERRORS, LATENCY, QUANTILES, TELLS_NO_FAILURE
from flyball.records import EvalReport, Measure
from flyball.records.measure_direction import LESS_IS_BETTER
from flyball.statistics.fairness import GAPS
from flyball.statistics.group_gaps import INDICES

WORST: Final = 8
SMALLEST: Final = 5
"""Cases of a slice that is shown: of fewer the interval is most of the scale."""
GROUPED: Final = frozenset((*GAPS, *INDICES))
"""Measures that compare groups; over a whole suite they are those of its worst dimension."""
ELSEWHERE: Final = frozenset((ERRORS, LATENCY, *QUANTILES, "recall", "precision", "f1", *GROUPED))
"""Measures without slices, and those whose slices have a table or a chart of their own."""
CELL: Final = "cell="


def worst_slices(report: EvalReport, most: int = WORST) -> Iterator[Measure]:
    """Of each suite's leading measures the slices that are worse than the whole suite, furthest for certain first."""
    for suite in report.suites:
        measures = [m for m in report.measures if m.suite == suite.name]
        for whole in leading(measures):
            sliced = [m for m in measures if m.slice and not m.slice.startswith(CELL) and m.n >= SMALLEST]
            parts = [m for m in sliced if m.name == whole.name] or [m for m in sliced if m.name == "recall"]
            if whole.name in LESS_IS_BETTER:
                yield from sorted((m for m in parts if m.value > whole.value), key=lambda m: (-m.lower, -m.value))[
                    :most
                ]
            else:
                yield from sorted((m for m in parts if m.value < whole.value), key=lambda m: (m.upper, m.value))[:most]


def leading(measures: Sequence[Measure]) -> list[Measure]:
    """A suite's first measure that says what is right, and each of which less is better."""
    whole = [m for m in measures if m.slice is None and m.name not in ELSEWHERE]
    first = [m for m in whole if m.name not in TELLS_NO_FAILURE][:1] or whole[:1]
    return [*first, *(m for m in whole if m.name in LESS_IS_BETTER and m not in first)]


def gaps_between_groups(report: EvalReport) -> list[Measure]:
    """Differences and ratios between groups, by dimension and by two together."""
    return [m for m in report.measures if m.slice and m.name in GROUPED]
