"""A suite: cases of one kind, each with what is asked and what is expected. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from flyball.records import Message, SuiteRef, fingerprint_of

SAMPLE_SEED = "suite-sample-1"
Kind = Literal["answer", "invariance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One case: what is asked, and what is expected: an answer, or the same answer as to `original`.

    `follow_ups` are a user's further questions, each asked after the model's own answer to the one before; the answer
    to the last counts.
    """

    id: str
    messages: tuple[Message, ...]
    expected: str | None = None
    original: tuple[Message, ...] | None = None
    slice: str | None = None
    follow_ups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases of one kind under one name; `notes` say what was noticed while they were read."""

    name: str
    kind: Kind
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def reference(self) -> SuiteRef:
        """Name, size and fingerprint: two reports compare only where these are equal."""
        contents = [
            [item.id, item.messages, item.expected, item.original, item.slice, *([f] if (f := item.follow_ups) else [])]
            for item in self.items
        ]
        content = fingerprint_of({"name": self.name, "kind": self.kind, "items": contents})
        return SuiteRef(name=self.name, fingerprint=content, items=len(self.items))


def sample(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many items, chosen by a seeded hash of their ids, in the order they had."""
    if most is None or len(items) <= most:
        return items
    ranks = {item.id: hashlib.sha256(f"{SAMPLE_SEED}:{item.id}".encode()).digest() for item in items}
    chosen = set(sorted(ranks, key=ranks.__getitem__)[:most])
    return tuple(item for item in items if item.id in chosen)
