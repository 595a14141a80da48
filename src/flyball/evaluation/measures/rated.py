"""A judge's ratings of single answers, and their mean corrected by people's labels. I/O: reads the judge and labels.

`rating` is from 0 (the lowest of the scale) to 1. An answer that is missing, or whose rating is missing or cannot be
read, counts as 0 and is never dropped; `malformed` is the share of cases without a rating that can be read.
`human_rating` is what people say of the labelled answers; `rating_corrected` is the judge's mean corrected by them
(statistics/prediction_powered.py). A label counts only where this evaluation got the very answer that it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flyball.errors import CorruptionError
from flyball.evaluation.answer_judge import labels_of, load_judge, rating_key
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.rated_answers import shown_answer
from flyball.evaluation.suites.suite import Suite
from flyball.records import Measure
from flyball.statistics.clustered import FEWEST_CLUSTERS
from flyball.statistics.prediction_powered import FEWEST_LABELS, prediction_powered_mean

SHOWN: Final = 120
"""Characters of a reply that a note shows: the last ones, where the rating belongs."""


def score(suite: Suite, answers: Mapping[str, Answer], known: Known) -> Iterator[ItemScore]:
    """Scores of each case; CorruptionError where the judge's file has changed since."""
    assert suite.folder is not None
    name = str(suite.items[0].data["judged_by"])
    judge = load_judge(suite.folder, name)
    if judge.digest != suite.items[0].data["judge"]:
        raise CorruptionError(f"the judge {name} has changed during the evaluation", cure="evaluate again")
    labels = labels_of(suite.folder, judge)
    for item in suite.items:
        answer, said = answers[item.key], known.ratings.get(rating_key(suite, item))
        error = answer.error
        rating = judge.rating_in(said.text) if said and not said.error and not error else None
        yield scored(suite, item, "rating", rating or 0.0, error=error)
        yield scored(suite, item, "malformed", float(rating is None), error=error)
        human = None if error else labels.get((item.id, shown_answer(answer.text)))
        if human is not None:
            yield scored(suite, item, "human_rating", human)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=error)


def corrected(suite: Suite, scores: Sequence[ItemScore], level: float) -> Iterator[Measure]:
    """The judge's mean, corrected; none with too few labels or clusters, of which `notes_on` tells."""
    ratings, people = _by_item(scores, "rating"), _by_item(scores, "human_rating")
    if _problem(ratings, people):
        return
    labelled = [one for one in ratings.values() if one.item in people]
    rest = [one for one in ratings.values() if one.item not in people]
    clustered = any(one.cluster for one in ratings.values())
    found = prediction_powered_mean(
        [people[one.item].score for one in labelled],
        [one.score for one in labelled],
        [one.score for one in rest],
        level=level,
        clusters=[one.cluster or one.item for one in (*labelled, *rest)] if clustered else None,
    )
    yield Measure(
        suite=suite.name,
        name="rating_corrected",
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        level=level,
        n=len(ratings),
    )


def notes_on(suites: Sequence[Suite], scores: Sequence[ItemScore], ratings: Mapping[str, Answer]) -> Iterator[str]:
    """One sentence on each judge that failed or is not understood, and on labels that correct nothing."""
    for suite in suites:
        if suite.kind != "rated" or suite.folder is None:
            continue
        judge = load_judge(suite.folder, str(suite.items[0].data["judged_by"]))
        replies = [ratings[key] for item in suite.items if (key := rating_key(suite, item)) in ratings]
        failed = Counter(reply.error for reply in replies if reply.error)
        for reason, count in failed.most_common(1):
            yield f"{suite.name}: the judge gave no rating of {failed.total()} answers; {count} ×: {reason}"
        if unclear := [reply for reply in replies if not reply.error and judge.rating_in(reply.text) is None]:
            yield f"{suite.name}: {unreadable(unclear)}"
        if not judge.labels:
            continue
        mine = [one for one in scores if one.suite == suite.name]
        if problem := _problem(_by_item(mine, "rating"), _by_item(mine, "human_rating")):
            yield f"{suite.name}: the rating is not corrected: {problem}"


def unreadable(replies: Sequence[Answer]) -> str:
    """How many replies of a judge say nothing that can be read, how many of them were cut, and what one says."""
    cut = sum(reply.cut for reply in replies)
    limit = f" ({cut} end at the token limit: allow more max_tokens under `request`)" if cut else ""
    end = " ".join(shown_answer(replies[0].text).split())[-SHOWN:]
    return f"{len(replies)} replies of the judge cannot be read{limit}; one ends: {end or 'it is empty'}"


def _problem(ratings: Mapping[str, ItemScore], people: Mapping[str, ItemScore]) -> str:
    if len(people) < FEWEST_LABELS:
        return (
            f"{len(people)} labels are of answers in this evaluation, {FEWEST_LABELS - len(people)} are missing"
            " (answers.jsonl beside the report holds the answers)"
        )
    if len({one.score for one in people.values()}) == 1:
        return f"all {len(people)} labels are the same; the interval of human_rating says what they prove"
    clusters = {one.cluster or one.item for one in ratings.values()}
    return f"its cases are of fewer than {FEWEST_CLUSTERS} clusters" if len(clusters) < FEWEST_CLUSTERS else ""


def _by_item(scores: Sequence[ItemScore], measure: str) -> dict[str, ItemScore]:
    return {one.item: one for one in scores if one.measure == measure}


FAMILY = Family(
    kind="rated",
    score=score,
    measures=("rating", "malformed", "human_rating", "latency_p50_ms", "latency_p99_ms"),
    graded=("rating", "human_rating"),
    derived=corrected,
)
