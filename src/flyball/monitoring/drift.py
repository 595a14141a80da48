"""Drift: more requests than usual hold a word that the model never saw in training. I/O: reads payloads.

The finding names the words that several people used, most used first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import select

from flyball.inference.words import words_of
from flyball.monitoring.monitor import LiveView, Monitor, inside
from flyball.monitoring.observations import user_texts
from flyball.records import JSON
from flyball.storage import tables
from flyball.storage.ledger import Ledger

PEOPLE = 5
"""So many different people at least must have shown it."""
PEOPLE_PER_WORD = 3
"""A word is named only when so many people used it: what one person alone writes may be a name."""
WORDS = 10
_PLACEHOLDER = re.compile(r"<[A-Z_]+>")


def drift_monitor(share: float, margin: float) -> Monitor:
    """`share`: of held-out rows that hold a word unseen in training; `margin`: how much more is tolerated."""
    return Monitor(
        kind="drift",
        measure="new_word_share",
        severity="warning",
        direction="above",
        reference=share,
        limit=inside(share + margin),
        what="requests hold a word that the model never saw in training",
        people=PEOPLE,
    )


def drift_evidence(ledger: Ledger, live: LiveView, requests: Sequence[str]) -> tuple[dict[str, JSON], str]:
    """The new words in these requests as evidence of a finding, and as a sentence."""
    if live.has_new_word is None:
        return {}, ""
    words = new_words(ledger, requests, live.has_new_word)
    return {"new_words": [{"word": word, "people": people} for word, people in words]}, name_words(words)


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
    found = words_of(_PLACEHOLDER.sub(" ", text))
    return {word for word in found if not any(character.isdigit() or character == "_" for character in word)}


def _authors(ledger: Ledger, requests: Sequence[str]) -> dict[str, str]:
    """Who sent each request: the person where one is named, else the request stands for itself."""
    column = tables.requests.c
    with ledger.read() as connection:
        rows = connection.execute(select(column.id, column.subject).where(column.id.in_(requests)))
        return {row.id: row.subject or row.id for row in rows}
