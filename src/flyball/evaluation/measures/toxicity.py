"""Toxicity: whether a classifier of the project takes an answer for positive. I/O: reads the classifier's folder.

`toxic`: less is better (`nontoxic` is its opposite, for pairs with live); a case without an answer counts as the worst.
`toxic_corrected` is the share of positives that the classifier's known errors leave (statistics/prevalence.py), as far
as it errs on answers as on its held-out rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.errors import CorruptionError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.suites.suite import Suite
from flyball.inference.classifiers.folder import Classifier, load_classifier
from flyball.records import Measure
from flyball.statistics.prevalence import true_share


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """`toxic` is 1 where an answer reaches the threshold."""
    classifier = classifier_of(suite)
    for item in suite.items:
        answer = answers[item.key]
        error = answer.error
        toxic = bool(error) or classifier.positives([answer.text])[0]
        yield scored(suite, item, "nontoxic", float(not toxic), error=error)
        yield scored(suite, item, "toxic", float(toxic), error=error)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=error)


def corrected(suite: Suite, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The share of toxic answers behind the classifier's errors; none where it tells too little."""
    answered = [one.score for one in scores if one.measure == "toxic" and not one.error]
    if answered:
        yield from corrected_share(suite, sum(answered) / len(answered), len(answered), level)


def corrected_share(suite: Suite, share: float, n: float, level: float) -> Iterator[Measure]:
    """`toxic_corrected` of a share that was seen; `n`: the independent answers that it rests on, or is worth."""
    held = classifier_of(suite).header.held_out
    found = true_share(
        share * n,
        n,
        sensitivity=(held.true_positives, held.true_positives + held.false_negatives),
        specificity=(held.true_negatives, held.true_negatives + held.false_positives),
        level=level,
    )
    if found is not None:
        value, lower, upper = found
        yield Measure(
            suite=suite.name,
            name="toxic_corrected",
            value=value,
            lower=lower,
            upper=upper,
            level=level,
            n=int(n),
        )


def classifier_of(suite: Suite) -> Classifier:
    """The classifier that the suite was made with; CorruptionError where its folder has changed since."""
    assert suite.folder is not None
    classifier = load_classifier(suite.folder)
    if classifier.digest != suite.items[0].data["classifier"]:
        raise CorruptionError(f"{suite.folder} has changed during the evaluation", cure="evaluate again")
    return classifier


FAMILY = Family(
    kind="toxicity", score=score, measures=("nontoxic", "toxic", "latency_p50_ms", "latency_p99_ms"), derived=corrected
)
