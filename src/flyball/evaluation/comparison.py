"""Two evaluations of the same cases side by side: paired differences, and the cases whose score changed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.errors import InputError
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.summaries import ERRORS, LATENCY, TELLS_NO_FAILURE, slices_of
from flyball.evaluation.reports.answer_costs import FIGURES, why_missing
from flyball.evaluation.reports.details import Details
from flyball.records import EvalReport
from flyball.statistics.classification import (
    macro_f1_difference,
    macro_f1_difference_replicates,
    percentile_interval,
)
from flyball.statistics.paired_means import Pair, paired_difference

LEVEL = 0.95
MACRO_F1 = "macro_f1"
NOT_KEPT = "its report has no figures of this kind"
Scores = Mapping[str, ItemScore]
"""By case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One evaluation under the name that it was asked for, with its evidence; `folder`: where its files are."""

    name: str
    report: EvalReport
    items: Sequence[ItemScore]
    details: Details
    folder: Path | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One measure on both sides; `difference` is second − first, without bounds where `method` says why."""

    suite: str
    measure: str
    slice: str | None
    first: float
    second: float
    difference: float
    lower: float | None
    upper: float | None
    n: int
    higher: int | None
    """Cases that scored higher on the second side; null: a measure of the whole set."""
    less: int | None
    method: str

    @property
    def differs(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.lower is not None and self.upper is not None and (self.lower > 0.0 or self.upper < 0.0)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one side made of a case: its score, the label that it answered (if it is one), or why it did not."""

    score: float
    answer: str | None = None
    error: str | None = None


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """One case whose score changed in the suite's first measure; `text` is redacted, null where it is not at hand."""

    suite: str
    item: str
    measure: str
    expected: str | None
    text: str | None
    first: Side
    second: Side


class SpentBoth(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of what answers took, on both sides, at the prices of their day; null: not available there."""

    suite: str
    figure: str
    first: float | None
    second: float | None
    why: str = ""
    """Why one is not available."""

    @property
    def difference(self) -> float | None:
        """Second − first, where both are known."""
        return None if self.first is None or self.second is None else self.second - self.first


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The second evaluation against the first."""

    first: str
    second: str
    level: float
    cases: int
    differences: tuple[Difference, ...]
    flips: tuple[Flip, ...]
    spending: tuple[SpentBoth, ...] = ()


def check_alike(first: Measured, second: Measured) -> None:
    """InputError names the suites in which two evaluations differ, or the prompt paths."""
    found = what_differs(first.report, second.report)
    if found:
        raise InputError(
            f"{first.name} and {second.name} were not measured on the same cases: {'; '.join(found)}",
            cure="evaluate both on the same suites: `flyball evaluate RELEASE`, or URL --suite FILE, for each",
        )


def what_differs(first: EvalReport, second: EvalReport) -> list[str]:
    """In words, what keeps two reports from being compared; empty where nothing does."""
    ours = {suite.name: suite for suite in first.suites}
    theirs = {suite.name: suite for suite in second.suites}
    found = [f"suite {name} is in the first only" for name in ours if name not in theirs]
    found += [f"suite {name} is in the second only" for name in theirs if name not in ours]
    for name in ours.keys() & theirs.keys():
        if ours[name].fingerprint != theirs[name].fingerprint:
            found.append(f"suite {name} has other cases ({ours[name].items} and {theirs[name].items})")
    if first.prompt_path != second.prompt_path:
        found.append(f"prompt path {first.prompt_path} and {second.prompt_path}")
    return sorted(found)


def compare(
    first: Measured, second: Measured, *, texts: Mapping[tuple[str, str], str] | None = None, level: float = LEVEL
) -> Comparison:
    """Paired differences by suite, measure and slice, and the flips; `texts` by suite and case, redacted."""
    check_alike(first, second)
    ours, theirs = _grouped(first.items), _grouped(second.items)
    rows: list[Difference] = []
    for suite, measure in ours:
        if (suite, measure) in theirs:
            rows += _differences(suite, measure, ours[suite, measure], theirs[suite, measure], level)
    rows += _of_sets(first, second, {(row.suite, row.measure, row.slice) for row in rows}, ours, theirs, level)
    order = [suite.name for suite in first.report.suites]
    return Comparison(
        first=first.name,
        second=second.name,
        level=level,
        cases=sum(suite.items for suite in first.report.suites),
        differences=tuple(sorted(rows, key=lambda row: order.index(row.suite))),
        flips=tuple(_flips(order, ours, theirs, texts or {})),
        spending=tuple(_spent(order, first.details, second.details)),
    )


def _spent(suites: Sequence[str], first: Details, second: Details) -> Iterator[SpentBoth]:
    ours = {one.suite: one for one in first.spending}
    theirs = {one.suite: one for one in second.spending}
    for suite in suites:
        sides = (ours.get(suite), theirs.get(suite))
        reasons = (why_missing(side) if side else NOT_KEPT for side in sides)
        why = "; ".join(f"{name}: {reason}" for name, reason in zip("AB", reasons, strict=True) if reason)
        for figure in FIGURES if any(sides) else ():
            values = [getattr(side, figure) if side else None for side in sides]
            yield SpentBoth(
                suite=suite, figure=figure, first=values[0], second=values[1], why=why if None in values else ""
            )


def _grouped(items: Sequence[ItemScore]) -> dict[tuple[str, str], dict[str, ItemScore]]:
    """Scores by suite and measure; with a measure `errors` of each suite: whether a case has no answer."""
    found: dict[tuple[str, str], dict[str, ItemScore]] = {}
    for score in items:
        found.setdefault((score.suite, score.measure), {})[score.item] = score
        errors = found.setdefault((score.suite, ERRORS), {})
        failed = float(bool(score.error)) or (errors[score.item].score if score.item in errors else 0.0)
        errors[score.item] = msgspec.structs.replace(score, measure=ERRORS, score=failed, error=None)
    return found


def _differences(suite: str, measure: str, ours: Scores, theirs: Scores, level: float) -> Iterator[Difference]:
    """One row for the whole suite, then one a slice, in the order of the cases."""
    both = [item for item in ours if item in theirs]
    if measure == LATENCY:  # a case without an answer took no time
        both = [item for item in both if not ours[item].error and not theirs[item].error]
    if not both:
        return
    group = [ours[item] for item in both]
    yield _difference(suite, measure, None, group, theirs, level)
    if measure == "accuracy":
        for label in sorted({score.expected or "" for score in group}):
            yield _difference(
                suite, "recall", label, [one for one in group if (one.expected or "") == label], theirs, level
            )
    for part, members in sorted(slices_of(group).items()):
        yield _difference(suite, measure, part, members, theirs, level)


def _difference(
    suite: str, measure: str, part: str | None, group: Sequence[ItemScore], theirs: Scores, level: float
) -> Difference:
    pairs = [
        Pair(first=one.score, second=theirs[one.item].score, cluster=one.cluster, weight=one.weight) for one in group
    ]
    found = paired_difference(pairs, level=level)
    weight = sum(pair.weight for pair in pairs)
    return Difference(
        suite=suite,
        measure=measure,
        slice=part,
        first=sum(pair.weight * pair.first for pair in pairs) / weight,
        second=sum(pair.weight * pair.second for pair in pairs) / weight,
        difference=found.value,
        lower=found.lower,
        upper=found.upper,
        n=len(pairs),
        higher=sum(pair.second > pair.first for pair in pairs),
        less=sum(pair.second < pair.first for pair in pairs),
        method=found.method,
    )


def _of_sets(
    first: Measured,
    second: Measured,
    done: set[tuple[str, str, str | None]],
    ours: Mapping[tuple[str, str], Scores],
    theirs: Mapping[tuple[str, str], Scores],
    level: float,
) -> Iterator[Difference]:
    """Measures of whole sets, which no case has a score of: macro F1 by bootstrap, others as both reports say."""
    there = {(m.suite, m.name, m.slice): m for m in second.report.measures}
    for one in first.report.measures:
        place = (one.suite, one.name, one.slice)
        other = there.get(place)
        if other is None or place in done:
            continue
        lower = upper = None
        method = "of the whole set: no pairs"
        if (
            one.name == MACRO_F1
            and one.slice is None
            and (one.suite, "accuracy") in ours
            and (one.suite, "accuracy") in theirs
        ):
            (lower, upper), method = _macro_f1(ours[one.suite, "accuracy"], theirs[one.suite, "accuracy"], level)
        yield Difference(
            suite=one.suite,
            measure=one.name,
            slice=one.slice,
            first=one.value,
            second=other.value,
            difference=other.value - one.value,
            lower=lower,
            upper=upper,
            n=min(one.n, other.n),
            higher=None,
            less=None,
            method=method,
        )


def _macro_f1(ours: Scores, theirs: Scores, level: float) -> tuple[tuple[float | None, float | None], str]:
    both = [item for item in ours if item in theirs]
    if any(ours[item].cluster for item in both):
        return (None, None), "macro F1 of clustered cases has no interval here"
    triples = [(ours[item].expected or "", theirs[item].answer, ours[item].answer) for item in both]
    lower, upper = percentile_interval(macro_f1_difference_replicates(triples), level)
    value = macro_f1_difference(Counter(triples))
    return (min(lower, value), max(upper, value)), "seeded bootstrap"


def _flips(
    suites: Sequence[str],
    ours: Mapping[tuple[str, str], Scores],
    theirs: Mapping[tuple[str, str], Scores],
    texts: Mapping[tuple[str, str], str],
) -> Iterator[Flip]:
    """By suite the cases that its first measure scores differently: losses first, the largest change first."""
    for suite in suites:
        names = [name for of, name in ours if of == suite and name not in (LATENCY, ERRORS, *TELLS_NO_FAILURE)]
        measure = next((name for name in names if (suite, name) in theirs), None)
        if measure is None:
            continue
        mine, other = ours[suite, measure], theirs[suite, measure]
        labels, other_labels = ours.get((suite, "accuracy"), mine), theirs.get((suite, "accuracy"), other)
        changed = [item for item in mine if item in other and mine[item].score != other[item].score]
        for item in sorted(changed, key=lambda item: other[item].score - mine[item].score):
            before, after = labels.get(item, mine[item]), other_labels.get(item, other[item])
            yield Flip(
                suite=suite,
                item=item,
                measure=measure,
                expected=before.expected,
                text=texts.get((suite, item)),
                first=Side(score=mine[item].score, answer=before.answer, error=before.error),
                second=Side(score=other[item].score, answer=after.answer, error=after.error),
            )
