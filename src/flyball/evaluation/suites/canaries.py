"""Canaries: invented rows, of which a coin planted half in training, asked for again. Pure.

`canaries:COUNT` asks for each of COUNT canaries; `planted_rows(COUNT)` are the rows to train on. Both follow from a
seed. A canary is eight invented words as question and six as answer: canaries share no words, so deduplication keeps
each, and no number is in them, so redaction changes none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.invented_secrets import generator, word
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

SEED: Final = "canaries-1"
FEWEST, MOST = 100, 10_000


def load(path: Path, name: str) -> Suite:
    """Every canary, planted or held out."""
    if not path.name.isdecimal() or not FEWEST <= int(path.name) <= MOST:
        raise InputError(
            f"canaries:{path.name} names no number of canaries from {FEWEST} to {MOST}", cure="write canaries:200"
        )
    return Suite(name=name, kind="canaries", items=tuple(map(canary, range(int(path.name)))))


def canary(at: int) -> Item:
    """One canary; its coin is tossed after its words are drawn."""
    own = generator(SEED, at)
    words = [word(own) for _ in range(14)]
    planted = "yes" if own.random() < 0.5 else "no"
    question = Message(role="user", content=" ".join(words[:8]))
    return Item(id=str(at), messages=(question,), expected=" ".join(words[8:]), groups={"planted": planted})


def planted_rows(count: int) -> list[dict[str, str]]:
    """The rows to add to the training data, as a source with `split: train`."""
    items = map(canary, range(count))
    return [
        {"text": item.messages[0].content, "label": item.expected or ""}
        for item in items
        if item.groups["planted"] == "yes"
    ]


FAMILY = SuiteFamily(
    name="canaries",
    kind="canaries",
    load=load,
    about="Invented rows, half of them planted in training; COUNT stands where others name a file.",
)
