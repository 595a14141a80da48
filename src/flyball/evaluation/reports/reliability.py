"""Calibration as a report shows it: reliability, accuracy by coverage, thresholds; or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import BRIER
from flyball.evaluation.measures.confidence import sure_of, why_not
from flyball.evaluation.suites.suite import Suite
from flyball.statistics.calibration import Covered, Sure, best_coverage, coverage, reliability
from flyball.statistics.intervals import clopper_pearson

WANTED: Final = (0.8, 0.9, 0.95, 0.99)
LEVEL: Final = 0.95
MOST_POINTS: Final = 200


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of about one confidence: how many, their mean confidence, their accuracy with its 95 % interval."""

    n: int
    confidence: float
    accuracy: float
    lower: float
    upper: float


class CoveragePoint(msgspec.Struct, frozen=True, kw_only=True):
    """What answering from a confidence on gives: the share of all cases, and the accuracy with its 95 % interval."""

    threshold: float
    coverage: float
    accuracy: float
    lower: float
    upper: float
    n: int


class WantedAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold that answers most at an accuracy; None: no threshold reaches it on these cases."""

    accuracy: float
    reached: CoveragePoint | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of one suite of labels; `unavailable` says why there is none."""

    suite: str
    unavailable: str = ""
    bins: tuple[ReliabilityBin, ...] = ()
    curve: tuple[CoveragePoint, ...] = ()
    wanted: tuple[WantedAccuracy, ...] = ()


def calibrations(
    suites: Sequence[Suite], scores: Sequence[ItemScore], answers: Mapping[str, Answer]
) -> Iterator[Calibration]:
    """Of each suite whose answers are labels."""
    labelled = {score.suite for score in scores if score.measure == "accuracy" and score.expected is not None}
    for suite in suites:
        if suite.name not in labelled or suite.elsewhere:
            continue
        items = [sure_of(score) for score in scores if score.suite == suite.name and score.measure == BRIER]
        if not items:
            yield Calibration(suite=suite.name, unavailable=why_not(suite, answers) or "the suite has no such measure")
            continue
        yield Calibration(suite=suite.name, bins=tuple(bins_of(items)), curve=curve_of(items), wanted=wanted_of(items))


def bins_of(items: Sequence[Sure]) -> Iterator[ReliabilityBin]:
    """Of the answered cases, lowest confidence first."""
    for one in reliability(items):
        lower, upper = clopper_pearson(one.right, one.n, LEVEL)
        yield ReliabilityBin(n=one.n, confidence=one.confidence, accuracy=one.right / one.n, lower=lower, upper=upper)


def curve_of(items: Sequence[Sure]) -> tuple[CoveragePoint, ...]:
    """From the surest answer to all of them, at most `MOST_POINTS`, the last always among them."""
    points = list(coverage(items))
    step = -(-len(points) // MOST_POINTS)
    return tuple(point_of(one, len(items)) for one in points[::-1][::step][::-1])


def wanted_of(items: Sequence[Sure]) -> tuple[WantedAccuracy, ...]:
    """The threshold for each of the accuracies `WANTED`."""
    found = {accuracy: best_coverage(items, accuracy) for accuracy in WANTED}
    return tuple(
        WantedAccuracy(accuracy=accuracy, reached=point_of(one, len(items)) if one else None)
        for accuracy, one in found.items()
    )


def point_of(one: Covered, cases: int) -> CoveragePoint:
    """A point of the curve over all cases, those without an answer too."""
    lower, upper = clopper_pearson(one.right, one.n, LEVEL)
    return CoveragePoint(
        threshold=one.threshold,
        coverage=one.n / cases,
        accuracy=one.right / one.n,
        lower=lower,
        upper=upper,
        n=one.n,
    )


def reliability_rows(found: Sequence[Calibration]) -> tuple[tuple[object, ...], ...]:
    """The table below the plot, or a line that says why there is none."""
    rows: list[tuple[object, ...]] = []
    for one in found:
        if one.unavailable:
            rows.append((one.suite, f"not available: {one.unavailable}", *[None] * 4))
        rows += [(one.suite, f"{b.confidence:.3f}", b.accuracy, b.lower, b.upper, b.n) for b in one.bins]
    return tuple(rows)


def wanted_rows(found: Sequence[Calibration]) -> tuple[tuple[object, ...], ...]:
    """What to answer, and what to leave, for a wanted accuracy."""
    return tuple(
        (one.suite, f"{want.accuracy:.0%}", at.threshold, at.coverage, at.accuracy, at.lower, at.upper, at.n)
        if (at := want.reached)
        else (one.suite, f"{want.accuracy:.0%}", *["no threshold reaches it", *[None] * 5])
        for one in found
        for want in one.wanted
    )


def reliability_values(found: Sequence[Calibration]) -> list[dict[str, Any]]:
    """The points of the reliability plot."""
    return [{"suite": one.suite, **msgspec.to_builtins(b)} for one in found for b in one.bins]


def coverage_values(found: Sequence[Calibration]) -> list[dict[str, Any]]:
    """The points of the plot of accuracy by coverage."""
    return [{"suite": one.suite, **msgspec.to_builtins(point)} for one in found for point in one.curve]
