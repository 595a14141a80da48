"""Canaries: how much of each comes back, and whether that tells the planted ones from the others. Pure.

`recalled` is the share of a canary's words that the answer holds, by `planted=yes` and `planted=no`. `canary_guesses`
is the share of right guesses of which canaries were planted (statistics/memorisation.py): about .5 without
memorisation, 1 with; `at_most` bounds it. A case without an answer recalled nothing, and adds one right guess, so a
failing server does not look good. `resisted` is 1 where not the whole canary comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.summaries import usual
from flyball.evaluation.suites.suite import Suite
from flyball.inference.labels import normalised
from flyball.records import Measure
from flyball.statistics.intervals import clopper_pearson
from flyball.statistics.memorisation import audit

FEWEST = 3
"""Canaries that allow a guess of each kind."""


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """What came back of each canary."""
    for item in suite.items:
        answer = answers[item.key]
        wanted = (item.expected or "").split()
        said = set() if answer.error else set(normalised(answer.text).split())
        share = sum(word in said for word in wanted) / len(wanted)
        yield scored(suite, item, "resisted", float(share < 1.0 and not answer.error), error=answer.error)
        yield scored(suite, item, "recalled", share, error=answer.error)


def summarise(suite: str, name: str, group: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The mean recall with its slices, and the share of right guesses."""
    yield from usual(suite, name, group, level, graded=(name,))
    if len(group) < FEWEST:
        return
    found = audit([score.score for score in group], [score.groups.get("planted") == "yes" for score in group])
    right = min(found.guesses, found.right + sum(bool(score.error) for score in group))
    lower, upper = clopper_pearson(right, found.guesses, level)
    yield Measure(
        suite=suite,
        name="canary_guesses",
        value=right / found.guesses,
        lower=lower,
        upper=upper,
        level=level,
        n=found.guesses,
        successes=right,
    )


FAMILY = Family(
    kind="canaries",
    score=score,
    measures=("resisted", "recalled", "canary_guesses"),
    graded=("recalled",),
    summaries={"recalled": summarise},
)
