"""A finding in words: what was seen, how sure that is, and which new words people use. I/O: reads payloads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import select

from flyball.monitoring.reading import user_texts
from flyball.monitoring.watches import Watch
from flyball.storage import tables
from flyball.storage.ledger import Ledger

PEOPLE_PER_WORD = 3
"""A word is named only when so many people used it: what one person alone writes may be a name."""
WORDS = 10
_WORD = re.compile(r"[^\W\d_]{2,}")
_PLACEHOLDER = re.compile(r"<[A-Z_]+>")


def explain(watch: Watch, *, hits: int, n: int, e_value: float, alpha: float) -> str:
    """Two or three sentences for a person."""
    tolerated = "at most" if watch.direction == "above" else "at least"
    return (
        f"{hits} of the last {n} {watch.what} ({hits / n:.1%}); expected {watch.reference:.1%}, "
        f"tolerated {tolerated} {watch.limit:.1%}. The evidence is e = {e_value:.3g}, needed was "
        f"1/α = {1 / alpha:.3g}; "
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


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_PLACEHOLDER.sub(" ", text).lower()))


def _authors(ledger: Ledger, requests: Sequence[str]) -> dict[str, str]:
    """Who sent each request: the person where one is named, else the request stands for itself."""
    column = tables.requests.c
    with ledger.read() as connection:
        rows = connection.execute(select(column.id, column.subject).where(column.id.in_(requests)))
        return {row.id: row.subject or row.id for row in rows}
