"""Bias between groups of a suite's cases: who gets the favourable answer, and who gets it wrongly. Pure.

A case says in `groups` whom it is about and in `data.favourable` which labels are favourable to them; `data.labels`
are its own labels, else those of the suite. `favourable` is the share of favourable answers, of the suite and of each
group. The metrics of statistics/fairness.py compare groups: as the slice `gender` those of one dimension, as
`gender+age` those of an intersection, and without a slice the worst dimension. Differences are the largest absolute
one between two groups, 0 to 1, so `at_most` bounds them; ratios are the smallest, 0 to 1, so `at_least` does.

A case without an answer, or whose answer is no known label, is not favourable. A group with fewer than
`SMALLEST_GROUP` cases is in no comparison; the suite's notes name it. Weights of cases are not used. Intervals and what
is no proof: statistics/group_gaps.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.labelled import label_in, labels_of
from flyball.evaluation.measures.summaries import proportion, slices_of
from flyball.evaluation.suites.suite import Suite
from flyball.inference.labels import KnownLabels, one_form
from flyball.records import Measure
from flyball.statistics.fairness import GAPS
from flyball.statistics.group_gaps import FAVOURABLE, INDICES, Comparison, Groups, group_case, worst

SHARE = FAVOURABLE
OTHER = "other"


def score(suite: Suite, answers: Mapping[str, Answer], known: Known) -> Iterator[ItemScore]:
    """1 where the answer is favourable, with the side that was due; and whether it is right."""
    due = [item.expected for item in suite.items if item.expected is not None]
    favours = [label for item in suite.items for label in favourable_of(item.data)]
    labels = KnownLabels([*known.labels, *due, *favours])
    made = suite.elsewhere.answers if suite.elsewhere else {}
    for item in suite.items:
        answer = Answer(key=item.id, total_ms=0.0, text=made[item.id]) if suite.elsewhere else answers[item.key]
        favourable = favourable_of(item.data)
        own = "labels" in item.data
        found = None if answer.error else label_in(answer.text, labels_of(item)) if own else labels.find(answer.text)
        expected = None if item.expected is None else one_form(item.expected)
        sides = {"expected": side(expected, favourable), "answer": side(found, favourable)}
        yield scored(suite, item, SHARE, float(found in favourable), error=answer.error, **sides)
        if expected is not None:
            yield scored(suite, item, "accuracy", float(found == expected), error=answer.error)


def favourable_of(data: Mapping[str, object]) -> list[str]:
    """The favourable labels of a case."""
    labels = data.get("favourable")
    return [one_form(str(label)) for label in (labels if isinstance(labels, list) else [labels])]


def side(label: str | None, favourable: Sequence[str]) -> str | None:
    """Which side a label is on; None of none."""
    return None if label is None else FAVOURABLE if label in favourable else OTHER


def shares(suite: str, name: str, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """A share of the suite and of each group."""
    yield proportion(suite, name, scores, level)
    for part, some in sorted(slices_of(scores).items()):
        yield proportion(suite, name, some, level, part=part)


def gaps(suite: str, name: str, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The shares, then each comparison: of every dimension, of every two together, and the worst dimension."""
    yield from shares(suite, name, scores, level)
    cases = [group_case(score.groups, score.expected, score.answer, score.cluster) for score in scores]
    groups = Groups(cases, knows_truth=all(score.expected is not None for score in scores))
    found: dict[str, list[Comparison]] = {}
    for names in ((), *((one,) for one in groups.dimensions), *combinations(groups.dimensions, 2)):
        for compared in groups.compare(names, level):
            found.setdefault(compared.name, []).append(compared)
    for comparisons in found.values():
        if singles := [one for one in comparisons if len(one.dimensions) <= 1]:
            yield measure_of(suite, worst(singles), level, None)
        for one in comparisons:
            if one.dimensions:
                yield measure_of(suite, one, level, "+".join(one.dimensions))


def measure_of(suite: str, comparison: Comparison, level: float, part: str | None) -> Measure:
    """A comparison as a report has it."""
    return Measure(
        suite=suite,
        name=comparison.name,
        value=comparison.value,
        lower=comparison.lower,
        upper=comparison.upper,
        level=level,
        n=comparison.n,
        slice=part,
    )


MEASURES = (SHARE, "accuracy", *GAPS, *INDICES)
FAMILY = Family(kind="bias", score=score, measures=MEASURES, summaries={SHARE: gaps, "accuracy": shares})
