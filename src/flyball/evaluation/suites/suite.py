"""A suite: cases of one kind, each with what is asked and what is expected. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flyball.records import JSON, Message, ScoresFile, SuiteRef, canonical_json, fingerprint_of

SAMPLE_SEED = "suite-sample-1"
FOLLOW_UPS: Final = "follow_ups"
"""What a body of ours says is asked on; no server sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One case: what is asked, and what is expected: an answer, or the same answer as to `original`.

    `slice`: its part of a suite that has one way to be cut; `groups`: further ways by name, such as language or gender.
    `cluster`: cases with one source (a template, a conversation, a customer) are not independent. `weight`: how many
    cases of the population it stands for. `request`: what it asks for besides its messages, such as a temperature.
    `data`: what only its own family of measures reads. `follow_ups` are a user's further questions, each asked after
    the model's own answer to the one before; the answer to the last counts.
    """

    id: str
    messages: tuple[Message, ...]
    expected: str | None = None
    original: tuple[Message, ...] | None = None
    slice: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    weight: float = 1.0
    request: Mapping[str, JSON] = field(default_factory=dict)
    data: Mapping[str, JSON] = field(default_factory=dict)
    follow_ups: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """What a client would send: the prompt path adds the rest; with what is asked on after its answer."""
        body = {"messages": _plain(self.messages), **self.request}
        return body | {FOLLOW_UPS: list(self.follow_ups)} if self.follow_ups else body

    @property
    def key(self) -> str:
        """One key for one question, whatever suites it is in: it is asked once."""
        return _key(self.body)

    @property
    def original_body(self) -> dict[str, Any] | None:
        """The question that this one was made of."""
        return None if self.original is None else {"messages": _plain(self.original), **self.request}

    @property
    def original_key(self) -> str | None:
        """The key of the question that this one was made of."""
        return None if (body := self.original_body) is None else _key(body)

    def content(self) -> list[Any]:
        """What decides whether two suites are the same; fields that came later count where they are used."""
        later: dict[str, Any] = {
            "groups": self.groups,
            "cluster": self.cluster,
            "request": self.request,
            "data": self.data,
        }
        used = {name: value for name, value in later.items() if value}
        if self.weight != 1.0:
            used["weight"] = self.weight
        first = [self.id, self.messages, self.expected, self.original, self.slice]
        return [*first, *([self.follow_ups] if self.follow_ups else []), *([used] if used else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeElsewhere:
    """The scores of cases that another program asked, by case; `missing`: why a case has none.

    `answers`: what was answered, for families that score it themselves.
    """

    about: ScoresFile
    scores: Mapping[str, float]
    missing: Mapping[str, str]
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases of one kind under one name; `notes` say what was noticed while they were read.

    `kind`: the family of measures that scores it (`measures/catalog.py`). `elsewhere`: its scores, where nothing is
    asked; they are no part of its fingerprint, which is that of its cases. `folder`: what that family reads
    besides; its content counts by a digest in the items' `data`.
    """

    name: str
    kind: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    elsewhere: MadeElsewhere | None = None
    folder: Path | None = None

    def reference(self) -> SuiteRef:
        """Name, size and fingerprint: two reports compare only where these are equal."""
        contents = [item.content() for item in self.items]
        content = fingerprint_of({"name": self.name, "kind": self.kind, "items": contents})
        return SuiteRef(name=self.name, fingerprint=content, items=len(self.items))


def sample(items: tuple[Item, ...], most: int | None, *, whole_clusters: bool = False) -> tuple[Item, ...]:
    """At most so many items, or whole clusters, chosen by a seeded hash of their ids, in the order they had."""
    if most is None or len(items) <= most:
        return items
    names = [(item.cluster if whole_clusters else None) or item.id for item in items]
    ranks = {name: hashlib.sha256(f"{SAMPLE_SEED}:{name}".encode()).digest() for name in names}
    chosen = set(sorted(ranks, key=ranks.__getitem__)[:most])
    return tuple(item for item, name in zip(items, names, strict=True) if name in chosen)


def bodies_of(suites: Sequence[Suite]) -> dict[str, dict[str, Any]]:
    """Every question of the suites, once; none of a suite that was scored elsewhere."""
    found: dict[str, dict[str, Any]] = {}
    for item in (item for suite in suites if suite.elsewhere is None for item in suite.items):
        found[item.key] = item.body
        if (original := item.original_body) is not None:
            found[_key(original)] = original
    return found


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _key(body: Mapping[str, JSON]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()
