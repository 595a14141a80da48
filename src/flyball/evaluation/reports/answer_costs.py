"""What answers took: tokens, time and dollars, for each answer and for each good one. Pure.

A good answer scores 1 in the first measure of its suite. Everything that was asked counts as spent, and cases without
an answer are among those that are not good. Prices are no part of a report's name: they change, what was measured not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.summaries import LATENCY, TELLS_NO_FAILURE
from flyball.evaluation.suites.suite import Suite

Price = Callable[[int, int], float]
"""Dollars for (prompt tokens, completion tokens)."""
NO_PRICE: Final = "no price is known for this server"
FIGURES: Final = (
    "usd",
    "usd_per_answer",
    "usd_per_good",
    "tokens_per_answer",
    "tokens_per_good",
    "ms_per_answer",
    "ms_per_good",
)


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite took; a figure that is None is not available: `unpriced`, `uncounted` say why, or none is good."""

    suite: str
    cases: int
    good: int | None
    """Of the cases; None: the suite's measures do not say what is good."""
    asked: int
    answered: int
    usd: float | None
    usd_per_answer: float | None
    usd_per_good: float | None
    tokens_per_answer: float | None
    tokens_per_good: float | None
    ms_per_answer: float | None
    ms_per_good: float | None
    unpriced: str = ""
    uncounted: str = ""


def spendings(
    suites: Sequence[Suite], scores: Sequence[ItemScore], answers: Mapping[str, Answer], price: Price | None
) -> Iterator[Spending]:
    """Of each suite; `price` None: nothing is known of prices."""
    for suite in suites:
        if suite.items and not suite.elsewhere:  # what was scored elsewhere was not asked
            yield spending_of(suite, good_cases(suite, scores), answers, price)


def good_cases(suite: Suite, scores: Sequence[ItemScore]) -> int | None:
    """Cases that score 1 in the first measure; None where that tells no failure."""
    ours = [score for score in scores if score.suite == suite.name and score.measure != LATENCY]
    if not ours or ours[0].measure in TELLS_NO_FAILURE:
        return None
    return len({one.item for one in ours if one.measure == ours[0].measure and one.score >= 1.0 and not one.error})


def spending_of(suite: Suite, good: int | None, answers: Mapping[str, Answer], price: Price | None) -> Spending:
    """Of one suite; what two cases share was asked once."""
    keys = {key for item in suite.items for key in (item.key, item.original_key) if key}
    asked = [answers[key] for key in keys]
    answered = sum(answer.error is None for answer in asked)
    silent = sum(not answer.error and (answer.lies or not answer.prompt_tokens) for answer in asked)
    uncounted = f"{silent} of {answered} answers have no token counts, or some that cannot be true" if silent else ""
    tokens = usd = None
    if not uncounted:
        prompt, completion = sum(one.prompt_tokens for one in asked), sum(one.completion_tokens for one in asked)
        tokens, usd = prompt + completion, price(prompt, completion) if price else None
    ms = sum(answer.total_ms for answer in asked)
    return Spending(
        suite=suite.name,
        cases=len(suite.items),
        good=good,
        asked=len(asked),
        answered=answered,
        usd=usd,
        usd_per_answer=per(usd, answered),
        usd_per_good=per(usd, good),
        tokens_per_answer=per(tokens, answered),
        tokens_per_good=per(tokens, good),
        ms_per_answer=per(ms, answered),
        ms_per_good=per(ms, good),
        unpriced="" if price else NO_PRICE,
        uncounted=uncounted,
    )


def per(total: float | None, count: int | None) -> float | None:
    """The share of one; None where the total is not known, or there is none to share it."""
    return total / count if total is not None and count else None


def money(usd: float | None) -> str:
    """Dollars with the digits that small amounts need."""
    return "not available" if usd is None else f"${usd:.2f}" if usd >= 1 else f"${usd:.3g}"


def shown(name: str, value: float | None) -> str:
    """A figure in words."""
    if name.startswith("usd"):
        return money(value)
    return "not available" if value is None else f"{value:,.1f}"


def why_missing(one: Spending) -> str:
    """Why figures of it are not available, in words; empty where all are."""
    reasons = (one.unpriced, one.uncounted, "no answer is good" if one.good == 0 else "")
    unsaid = "the measures do not tell what is good" if one.good is None else ""
    return "; ".join(reason for reason in (*reasons, unsaid) if reason)


def spending_rows(found: Sequence[Spending]) -> tuple[tuple[object, ...], ...]:
    """One line a suite and figure."""
    return tuple(
        (
            one.suite,
            f"{'–' if one.good is None else one.good} of {one.cases}",
            *(shown(name, getattr(one, name)) for name in FIGURES),
            why_missing(one),
        )
        for one in found
    )
