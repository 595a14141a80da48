"""The number that a worked solution ends with, found as lm-evaluation-harness finds it. Pure.

lm-evaluation-harness 0.4.13, task `gsm8k`: `strict-match` takes the first number after `####`, `flexible-extract` the
last number of the answer; both leave out commas, dollar signs and a last full stop before they compare. An answer ends
where the model begins a question of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import LATENCIES
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.suites.suite import Suite

STOPS: Final = ("Question:", "</s>", "<|im_end|>")
"""Where lm-evaluation-harness ends an answer."""
STRICT: Final = re.compile(r"#### (-?[0-9.,]+)")
FLEXIBLE: Final = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def strict(text: str) -> str | None:
    """The first number after `####`; None where there is none."""
    found = STRICT.search(shortened(text))
    return None if found is None else plain(found[1])


def flexible(text: str) -> str | None:
    """The last number of an answer; None where there is none."""
    found = FLEXIBLE.findall(shortened(text))
    return plain(found[-1]) if found else None


def shortened(text: str) -> str:
    """The answer up to the first of its ends."""
    for stop in STOPS:
        text = text.partition(stop)[0]
    return text


def plain(number: str) -> str:
    """A number without commas, dollar signs and a last full stop."""
    return number.strip().replace(",", "").replace("$", "").removesuffix(".").casefold()


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """Whether the number is right, by either way to find it; a case without an answer scores 0."""
    for item in suite.items:
        answer = answers[item.key]
        text, wanted = "" if answer.error else answer.text, plain(item.expected or "")
        yield scored(suite, item, "strict_match", float(strict(text) == wanted), error=answer.error)
        yield scored(suite, item, "flexible_match", float(flexible(text) == wanted), error=answer.error)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=answer.error)


FAMILY = Family(kind="worked_number", score=score, measures=("strict_match", "flexible_match", *LATENCIES))
