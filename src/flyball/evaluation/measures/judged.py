"""A judge's verdicts on pairs of answers: which wins, and whether people agree. Pure.

Each pair is judged in both orders. An answer wins only if it wins in both; verdicts that change with the order are a
tie (Zheng et al. 2023), and not `consistent`. A reply without exactly one verdict is `malformed`. Such a pair stays in
every denominator: it agrees with nobody, is not consistent, and wins nothing.

`win_rate` is of the second answer, ties half. `agreement` and `kappa` (Cohen's) compare with the majority of the votes,
over the pairs that have one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.summaries import proportion, slices_of
from flyball.evaluation.reasoning import without_reasoning
from flyball.evaluation.suites.preferences import FIRST, SECOND, TIE
from flyball.evaluation.suites.suite import Suite
from flyball.records import Measure
from flyball.statistics.agreement import Rated, cohens_kappa

MALFORMED: Final = "malformed"
WORDS: Final = {"a": FIRST, "b": SECOND, "tie": TIE}
MARKS: Final = {"[[a]]": FIRST, "[[b]]": SECOND, "[[c]]": TIE}
"""As prompts of MT-Bench ask for it."""
AROUND: Final = " \t:*_.\"'`[]()#-"
SWAPPED: Final = {FIRST: SECOND, SECOND: FIRST, TIE: TIE}
WON: Final = {FIRST: 0.0, SECOND: 1.0, TIE: 0.5, MALFORMED: 0.0}


def verdict_in(reply: str) -> str | None:
    """Which answer a reply prefers after its reasoning, or that they tie; None where it says none, or several."""
    words = without_reasoning(reply).casefold()
    found = {verdict for mark, verdict in MARKS.items() if mark in words}
    for line in words.splitlines():
        said = line.strip(AROUND)
        rest = said.removeprefix("final ").removeprefix("verdict")
        if rest != said and rest[:1] and rest[0] in AROUND and (one := WORDS.get(rest.strip(AROUND))):
            found.add(one)
    if not found and (alone := WORDS.get(words.strip(AROUND + "\n\r"))):
        found.add(alone)
    return found.pop() if len(found) == 1 else None


def both_orders(shown: str | None, swapped: str | None) -> tuple[str, bool]:
    """The verdict of both orders, and whether they say the same; `swapped`: as its reply says, A being the second."""
    if shown is None or swapped is None:
        return MALFORMED, False
    return (shown, True) if SWAPPED[swapped] == shown else (TIE, False)


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """Scores of each pair; one without a reply in either order counts as malformed and keeps the reason."""
    for item in suite.items:
        assert item.original_key is not None
        shown, swapped = answers[item.key], answers[item.original_key]
        error = shown.error or swapped.error
        verdict, consistent = (
            (MALFORMED, False) if error else both_orders(verdict_in(shown.text), verdict_in(swapped.text))
        )
        if item.expected is not None:
            agrees = float(verdict == item.expected)
            yield scored(suite, item, "agreement", agrees, error=error, expected=item.expected, answer=verdict)
        yield scored(suite, item, "win_rate", WON[verdict], error=error)
        yield scored(suite, item, "consistent", float(consistent), error=error)
        yield scored(suite, item, MALFORMED, float(verdict == MALFORMED), error=error)
        yield scored(suite, item, "latency_ms", shown.total_ms, error=error)


def agreements(suite: str, name: str, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """Raw agreement and kappa, of the suite and of each slice."""
    for part, some in ((None, scores), *sorted(slices_of(scores).items())):
        yield proportion(suite, name, some, level, part=part)
        kappa = cohens_kappa([Rated(one.expected or "", one.answer or "", one.cluster) for one in some], level)
        if kappa.value is not None:
            yield Measure(
                suite=suite,
                name="kappa",
                value=kappa.value,
                lower=kappa.lower,
                upper=kappa.upper,
                level=level,
                n=len(some),
                slice=part,
            )


FAMILY = Family(
    kind="judged",
    score=score,
    measures=("agreement", "kappa", "win_rate", "consistent", MALFORMED, "latency_p50_ms", "latency_p99_ms"),
    graded=("win_rate",),
    summaries={"agreement": agreements},
)
