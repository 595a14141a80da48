"""The columns of traffic whose mix is watched: what each says of a request, as a category. Pure.

A column is fitted on some requests (which answers there are, where lengths are cut, what texts are about) and then
gives every other one a category. Fits hold no text: answers by hash, words by hashed features.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.monitoring.mix_detection import OTHER
from flyball.monitoring.text_clusters import cluster_of, fit_clusters

BINS = 8
ANSWERS = 100
"""So many answers are told apart, the most frequent; all others are one category."""
_LETTERS_READ = 200
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request as columns see it: redacted texts, and the tokens of the answer."""

    text: str
    answer: str
    answer_tokens: int


Fit = Mapping[str, Any]
"""What a column learned, as JSON types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One property of requests: how it is fitted, the category of a request, and a category in words."""

    name: str
    what: str
    fit: Callable[[Sequence[Exchange]], Fit]
    category: Callable[[Fit, Exchange], str]
    described: Callable[[Fit, str], str]


def _fit_answers(exchanges: Sequence[Exchange]) -> Fit:
    counted = Counter(_digest(one.answer) for one in exchanges)
    return {"answers": sorted(digest for digest, n in counted.most_common(ANSWERS) if n > 1)}


def _answer(fit: Fit, one: Exchange) -> str:
    digest = _digest(one.answer)
    return digest if digest in fit["answers"] else OTHER


def _digest(answer: str) -> str:
    return hashlib.sha256(" ".join(answer.split()).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _cuts(values: Sequence[float]) -> Fit:
    """Where values are cut so that as many are in each bin, as far as ties allow.

    Many of the greatest value have a bin of their own: where all are one length, a greater one is seen.
    """
    ordered = sorted(values)
    cuts = {ordered[len(ordered) * bin // BINS] for bin in range(1, BINS)}
    return {"cuts": sorted(cuts | {ordered[-1] + 1} if ordered[-1] in cuts else cuts)}


def _binned(fit: Fit, value: float) -> str:
    return str(bisect_right(fit["cuts"], value))


def _range(fit: Fit, category: str) -> str:
    cuts, bin = fit["cuts"], int(category)
    if bin == 0:
        return f"below {cuts[0]:g}"
    return f"{cuts[bin - 1]:g} or more" if bin == len(cuts) else f"{cuts[bin - 1]:g} to {cuts[bin]:g}"


def _script(text: str) -> str:
    """The script most letters of a text are in, such as LATIN, by their Unicode names; `none` without letters."""
    names = (unicodedata.name(letter, "?").split(" ", 1)[0] for letter in text[:_LETTERS_READ] if letter.isalpha())
    return max(Counter(names).items(), key=lambda pair: (pair[1], pair[0]), default=("none", 0))[0]


def _fit_scripts(exchanges: Sequence[Exchange]) -> Fit:
    return {"scripts": sorted({_script(one.text) for one in exchanges})}


def _cluster(fit: Fit, one: Exchange) -> str:
    number = cluster_of(fit, one.text)
    return OTHER if number is None else str(number)


COLUMNS = (
    Column(
        name="answers",
        what="answers",
        fit=_fit_answers,
        category=_answer,
        described=lambda _, category: "one of the rarer answers" if category == OTHER else "one answer",
    ),
    Column(
        name="topics",
        what="requests",
        fit=lambda exchanges: fit_clusters([one.text for one in exchanges]),
        category=_cluster,
        described=lambda _, category: "unlike those of before" if category == OTHER else f"about topic {category}",
    ),
    Column(
        name="request_length",
        what="requests",
        fit=lambda exchanges: _cuts([len(one.text) for one in exchanges]),
        category=lambda fit, one: _binned(fit, len(one.text)),
        described=lambda fit, category: f"{_range(fit, category)} characters long",
    ),
    Column(
        name="answer_length",
        what="answers",
        fit=lambda exchanges: _cuts([one.answer_tokens for one in exchanges]),
        category=lambda fit, one: _binned(fit, one.answer_tokens),
        described=lambda fit, category: f"{_range(fit, category)} tokens long",
    ),
    Column(
        name="scripts",
        what="requests",
        fit=_fit_scripts,
        category=lambda fit, one: found if (found := _script(one.text)) in fit["scripts"] else OTHER,
        described=lambda _, category: "in another script" if category == OTHER else f"in {category.title()} script",
    ),
    Column(
        name="personal_data",
        what="requests",
        fit=lambda _: {},
        category=lambda _, one: "with" if _PLACEHOLDER.search(one.text) else "without",
        described=lambda _, category: f"{category} personal data",
    ),
)


def categories(column: Column, fit: Fit) -> list[str]:
    """Every category that a fit tells apart."""
    if "cuts" in fit:
        return [str(bin) for bin in range(len(fit["cuts"]) + 1)]
    if "centres" in fit:
        return [str(number) for number in range(len(fit["centres"]))]
    named = fit.get("answers", fit.get("scripts"))
    return list(named) if named is not None else ["with", "without"]
