"""What a report shows besides measures: labels, confusions, examples that failed, and how the engine behaved.

Texts are redacted here once more, so that a user's own suite cannot put personal data into a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.summaries import LATENCY, TELLS_NO_FAILURE, pairs_of
from flyball.evaluation.reasoning import END, holds_reasoning
from flyball.evaluation.reports.answer_costs import Price, Spending, spendings
from flyball.evaluation.reports.reliability import Calibration, calibrations
from flyball.evaluation.suites.suite import Item, Suite
from flyball.evaluation.training_overlap import LeakedCase
from flyball.privacy.redaction import redact
from flyball.statistics.classification import f1_by_label

MOST_EXAMPLES = 40
MOST_CONFUSIONS = 25
MOST_CHARACTERS = 400
WORST_LABELS = 10
EACH_LABEL = 3


class LabelRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one label fared: items expected, items answered with it, recall, precision (None: never answered), F1."""

    suite: str
    label: str
    n: int
    answered: int
    recall: float
    precision: float | None
    f1: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """How often one label was answered where another was expected; None: no known label."""

    suite: str
    expected: str
    answer: str | None
    count: int


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One case that failed; texts are redacted and cut."""

    suite: str
    item: str
    text: str
    expected: str
    answer: str
    error: str | None
    label: str = ""
    """The label that was expected, where the example stands for it."""


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of one suite: answered rightly, wrongly, or not at all (refused, failed, not asked)."""

    suite: str
    right: int
    wrong: int
    refused: int
    failed: int
    not_asked: int
    cut: int = 0
    """Cases whose answer ended at the limit of tokens; they are right or wrong too."""

    @property
    def errors(self) -> int:
        """Cases without an answer."""
        return self.refused + self.failed + self.not_asked


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in a report that is not a measure; `conditions`: what each request asked for, and how many at once."""

    asked: int
    answered: int
    cut: int
    implausible_usage: int
    prompt_tokens: int
    completion_tokens: int
    errors: dict[str, int]
    labels: tuple[LabelRow, ...]
    confusions: tuple[Confusion, ...]
    examples: tuple[Example, ...]
    latencies_ms: tuple[float, ...]
    outcomes: tuple[Outcomes, ...] = ()
    prepared: dict[str, int] = msgspec.field(default_factory=dict)
    """Requests that the release's preparation changed, by step."""
    notes: tuple[str, ...] = ()
    conditions: dict[str, Any] = {}
    label_examples: tuple[Example, ...] = ()
    """Wrong answers of the labels with the worst recall, worst first."""
    leaked: tuple[LeakedCase, ...] = ()
    """Cases that are in the training rows, the first 50."""
    calibration: tuple[Calibration, ...] = ()
    spending: tuple[Spending, ...] = ()


def details_of(
    suites: Sequence[Suite],
    scores: Sequence[ItemScore],
    answers: Mapping[str, Answer],
    prepared: dict[str, int],
    price: Price | None = None,
) -> Details:
    """The details of one evaluation; what was scored elsewhere was not asked, and its cases without a score failed.

    `price` None: nothing is known of prices.
    """
    known = {**answers, **dict(stand_ins(suites))}
    credible = [answer for answer in answers.values() if not answer.lies]
    labelled = [score for score in scores if score.measure == "accuracy" and score.expected is not None]
    rows = tuple(label_rows(labelled))
    errors = Counter(brief(answer.error) for answer in known.values() if answer.error)
    return Details(
        asked=len(answers),
        answered=sum(answer.error is None for answer in answers.values()),
        cut=sum(answer.cut for answer in answers.values()),
        implausible_usage=len(answers) - len(credible),
        prompt_tokens=sum(answer.prompt_tokens for answer in credible),
        completion_tokens=sum(answer.completion_tokens for answer in credible),
        errors=dict(errors.most_common(10)),
        labels=rows,
        confusions=tuple(confusions(labelled)),
        examples=tuple(examples(suites, scores, known)),
        latencies_ms=tuple(score.score for score in scores if score.measure == LATENCY and not score.error),
        outcomes=tuple(outcomes_of(suites, scores, known)),
        prepared=prepared,
        notes=(*(note for suite in suites for note in suite.notes), *notes_on_answers(suites, scores, known)),
        label_examples=tuple(label_examples(suites, labelled, known, rows)),
        calibration=tuple(calibrations(suites, scores, answers)),
        spending=tuple(spendings(suites, scores, answers, price)),
    )


def stand_ins(suites: Sequence[Suite]) -> Iterator[tuple[str, Answer]]:
    """For each case that was scored elsewhere what stands where its answer would: nothing, or why it has no score."""
    for suite in suites:
        made = suite.elsewhere
        for item in suite.items if made else ():
            missing = made.missing.get(item.id) if made else None
            yield item.key, Answer(key=item.key, total_ms=0.0, error=missing, fault="failed" if missing else "")


def outcomes_of(
    suites: Sequence[Suite], scores: Sequence[ItemScore], answers: Mapping[str, Answer]
) -> Iterator[Outcomes]:
    """How the cases of each suite ended; a case is wrong when its first measure says less than 1.

    The first that tells what is right, where the suite has one.
    """
    first = first_scores(scores)
    for suite in suites:
        faults = Counter(fault_of(item, answers) for item in suite.items)
        right = sum(first.get((suite.name, item.id), 0.0) >= 1.0 for item in suite.items)
        yield Outcomes(
            suite=suite.name,
            right=right,
            wrong=faults[""] - right,
            refused=faults["refused"],
            failed=faults["failed"],
            not_asked=faults["not asked"],
            cut=sum(answers[item.key].cut for item in suite.items),
        )


def first_scores(scores: Sequence[ItemScore]) -> dict[tuple[str, str], float]:
    """The score of each answered case in the first measure of its suite, by suite and case."""
    first: dict[tuple[str, str], float] = {}
    for score in sorted(scores, key=lambda score: score.measure in TELLS_NO_FAILURE):
        if score.measure != LATENCY and not score.error:
            first.setdefault((score.suite, score.item), score.score)
    return first


def notes_on_answers(
    suites: Sequence[Suite], scores: Sequence[ItemScore], answers: Mapping[str, Answer]
) -> Iterator[str]:
    """One sentence on each suite whose low scores may come from how it was asked: cut, empty, or full of reasoning."""
    first = first_scores(scores)
    for suite in suites:
        low = [item for item in suite.items if first.get((suite.name, item.id), 1.0) < 1.0]
        found = [answer for item in low if not (answer := answers[item.key]).error] if not suite.elsewhere else []
        cut = sum(answer.cut for answer in found)
        empty = sum(not answer.text.strip() and not answer.cut for answer in found)
        reasoning = sum(holds_reasoning(answer.text) for answer in found)
        whole = f"of {len(suite.items)} cases"
        if cut:
            yield f"{suite.name}: the answers to {cut} {whole} end at the token limit and score low: raise max_tokens"
        if empty:
            yield f"{suite.name}: the answers to {empty} {whole} are empty"
        if reasoning:
            yield (
                f"{suite.name}: the answers to {reasoning} {whole} hold the model's reasoning ({END}), which was scored"
                " with them: let the server part it (llama.cpp: --reasoning-format, vLLM: --reasoning-parser)"
            )


def fault_of(item: Item, answers: Mapping[str, Answer]) -> str:
    """Why a case has no answer; empty where it has one."""
    keys = [*([item.original_key] if item.original_key else []), item.key]
    asked = [answers[key] for key in keys]
    return next((answer.fault or "failed" for answer in asked if answer.error), "")


def brief(text: str | None, most: int = MOST_CHARACTERS) -> str:
    """A text as a report may show it: redacted, on one line, not too long."""
    line = " ".join(redact(text or "", "default").text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def label_rows(labelled: Sequence[ItemScore]) -> Iterator[LabelRow]:
    """One row a label and suite, worst F1 first."""
    for suite in dict.fromkeys(score.suite for score in labelled):
        pairs = Counter(pairs_of([score for score in labelled if score.suite == suite]))
        expected: Counter[str] = Counter()
        answered: Counter[str | None] = Counter()
        for (truth, answer), count in pairs.items():
            expected[truth] += count
            answered[answer] += count
        f1 = f1_by_label(pairs)
        for label in sorted(f1, key=lambda name: (f1[name], name)):
            right = pairs[label, label]
            yield LabelRow(
                suite=suite,
                label=label,
                n=expected[label],
                answered=answered[label],
                recall=right / expected[label],
                precision=right / answered[label] if answered[label] else None,
                f1=f1[label],
            )


def confusions(labelled: Sequence[ItemScore]) -> Iterator[Confusion]:
    """The commonest wrong answers."""
    answered = (score for score in labelled if score.score < 1.0 and not score.error)
    wrong = Counter((score.suite, score.expected or "", score.answer) for score in answered)
    for (suite, expected, answer), count in wrong.most_common(MOST_CONFUSIONS):
        yield Confusion(suite=suite, expected=expected, answer=answer, count=count)


def examples(suites: Sequence[Suite], scores: Sequence[ItemScore], answers: Mapping[str, Answer]) -> Iterator[Example]:
    """Cases that failed, the same number from each suite as far as there are some; wrong answers before errors."""
    failed: dict[str, set[str]] = {}
    for score in scores:
        if score.measure not in (LATENCY, *TELLS_NO_FAILURE) and score.score < 1.0:
            failed.setdefault(score.suite, set()).add(score.item)
    for suite in suites:
        items = [item for item in suite.items if item.id in failed.get(suite.name, ())]
        items.sort(key=lambda item: bool(fault_of(item, answers)))
        for item in items[: MOST_EXAMPLES // len(suites)]:
            yield example(suite, item, answers)


def label_examples(
    suites: Sequence[Suite], labelled: Sequence[ItemScore], answers: Mapping[str, Answer], rows: Sequence[LabelRow]
) -> Iterator[Example]:
    """A few wrong answers of each of the labels with the worst recall, worst first."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for score in labelled:
        if score.score < 1.0 and not score.error:
            wrong.setdefault((score.suite, score.expected or ""), []).append(score.item)
    named = {suite.name: suite for suite in suites}
    items = {(suite.name, item.id): item for suite in suites for item in suite.items}
    worst = sorted((row for row in rows if (row.suite, row.label) in wrong), key=lambda row: (row.recall, row.label))
    for row in worst[:WORST_LABELS]:
        for item in wrong[row.suite, row.label][:EACH_LABEL]:
            found = example(named[row.suite], items[row.suite, item], answers)
            yield msgspec.structs.replace(found, label=row.label)


def example(suite: Suite, item: Item, answers: Mapping[str, Answer]) -> Example:
    """One failed case; for invariance what is expected is the answer to the original."""
    answer = answers[item.key]
    before = answers[item.original_key] if item.original_key else None
    expected = before.text if before else item.expected
    return Example(
        suite=suite.name,
        item=item.id,
        text=brief([item.messages[-1].content, *item.follow_ups][-1]),
        expected=brief(expected),
        answer=brief(answer.text),
        error=brief(answer.error or (before.error if before else None)) or None,
    )
