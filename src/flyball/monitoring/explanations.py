"""A finding in words: what was seen, how sure that is, and which new words people use. I/O: reads payloads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flyball.inference.words import words_of
from flyball.monitoring.monitors import Monitor
from flyball.monitoring.observations import user_texts
from flyball.records import RequestRecord, parse
from flyball.records.runtime import ASKED_PATHS
from flyball.storage import tables
from flyball.storage.ledger import Ledger

FAILURES = 5
"""Kinds of failure that are named."""
PEOPLE_PER_WORD = 3
"""A word is named only when so many people used it: what one person alone writes may be a name."""
WORDS = 10
_PLACEHOLDER = re.compile(r"<[A-Z_]+>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Requests that failed alike: status and path, why, and how many."""

    what: str
    cause: str
    requests: int


def explain(watch: Monitor, *, hits: int, n: int, e_value: float, alpha: float) -> str:
    """Two or three sentences for a person."""
    tolerated = "at most" if watch.direction == "above" else "at least"
    return (
        f"{hits} of the last {n} {watch.what} ({hits / n:.1%}); expected {watch.reference:.1%}, "
        f"tolerated {tolerated} {watch.limit:.1%}. The evidence is e = {e_value:.3g} (without a "
        f"change it ever grows so strong in at most 1 of {e_value:,.0f} cases), needed was 1/α = {1 / alpha:.3g}; "
        "such an alarm by accident, over the whole life of this release, has a probability of at most "
        f"α = {alpha:.2g}."
    )


def name_words(words: Sequence[tuple[str, int]]) -> str:
    """The new words as a sentence."""
    if not words:
        return f"No new word was used by {PEOPLE_PER_WORD} people or more."
    return "New words most used: " + ", ".join(f"{word} ({people} people)" for word, people in words) + "."


def new_words(ledger: Ledger, requests: Sequence[str], is_new: Callable[[str], bool]) -> list[tuple[str, int]]:
    """Words unseen in training that several people used in these requests, with how many people, most used first."""
    texts = user_texts(ledger, requests)
    authors = _authors(ledger, list(texts))
    people: Counter[str] = Counter()
    for word, _ in {(word, authors[name]) for name, text in texts.items() for word in _words(text)}:
        people[word] += 1
    common = [(word, count) for word, count in people.items() if count >= PEOPLE_PER_WORD and is_new(word)]
    return sorted(common, key=lambda pair: (-pair[1], pair[0]))[:WORDS]


def what_failed(ledger: Ledger, requests: Sequence[str]) -> list[Failure]:
    """What these requests had in common: their status and path, and why they failed; most first."""
    column = tables.requests.c
    with ledger.read() as connection:
        bodies = connection.execute(
            select(column.body).where(column.project == ledger.project, column.id.in_(requests))
        ).scalars()
        records = [parse(bytes(body), RequestRecord) for body in bodies]
    counted = Counter(
        (f"{'cut' if one.outcome == 'cut' else one.status} on {ASKED_PATHS[one.kind]}", one.cause or one.error or "")
        for one in records
    )
    return [Failure(what=what, cause=cause, requests=n) for (what, cause), n in counted.most_common(FAILURES)]


def name_failures(failures: Sequence[Failure]) -> str:
    """What failed and why as a sentence."""
    told = [f"{one.requests} × {one.what}" + (f" ({one.cause})" if one.cause else "") for one in failures]
    return f"Among the latest: {'; '.join(told)}." if told else ""


def _words(text: str) -> set[str]:
    found = words_of(_PLACEHOLDER.sub(" ", text))
    return {word for word in found if not any(character.isdigit() or character == "_" for character in word)}


def _authors(ledger: Ledger, requests: Sequence[str]) -> dict[str, str]:
    """Who sent each request: the person where one is named, else the request stands for itself."""
    column = tables.requests.c
    with ledger.read() as connection:
        rows = connection.execute(select(column.id, column.subject).where(column.id.in_(requests)))
        return {row.id: row.subject or row.id for row in rows}
