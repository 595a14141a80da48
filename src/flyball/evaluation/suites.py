"""Suites: the cases a release is asked, each with what is expected. I/O: reads the dataset's rows and JSONL files.

`test`: the held-out rows. `invariance`: one seeded edit of each held-out row, whose answer must stay the same (one per
row, so that cases stay independent). Anything else is a JSONL file of {"text", "label"} or {"messages", "expected"}.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flyball.errors import InputError
from flyball.evaluation.perturbations import perturb
from flyball.evaluation.suite_files import read_cases
from flyball.records import Message, SuiteRef, canonical_json, fingerprint_of

SAMPLE_SEED = "suite-sample-1"
EDIT_SEED = "invariance-1"
OF_THE_ROWS = ("test", "invariance")
"""Suites made of a dataset's held-out rows; any other name is a file."""
Kind = Literal["answer", "invariance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One case: what is asked, and what is expected: an answer, or the same answer as to `original`."""

    id: str
    messages: tuple[Message, ...]
    expected: str | None = None
    original: tuple[Message, ...] | None = None
    slice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases of one kind under one name."""

    name: str
    kind: Kind
    items: tuple[Item, ...]

    def reference(self) -> SuiteRef:
        """Name, size and fingerprint: two reports compare only where these are equal."""
        contents = [[item.id, item.messages, item.expected, item.original, item.slice] for item in self.items]
        content = fingerprint_of({"name": self.name, "kind": self.kind, "items": contents})
        return SuiteRef(name=self.name, fingerprint=content, items=len(self.items))


def load_suites(
    names: Sequence[str], *, dataset_dir: Path | None, root: Path, max_items: int | None = None
) -> tuple[Suite, ...]:
    """The suites with these names, in order; InputError names the one that is missing or empty."""
    suites: list[Suite] = []
    for name in names:
        suite = load_suite(name, dataset_dir=dataset_dir, root=root, max_items=max_items)
        if suite.name in {other.name for other in suites}:
            raise InputError(f"two suites are called {suite.name}", cure="give their files different names")
        suites.append(suite)
    if not suites:
        raise InputError("no suites to run", cure="name some under evaluate.suites, such as test")
    return tuple(suites)


def load_suite(name: str, *, dataset_dir: Path | None, root: Path, max_items: int | None = None) -> Suite:
    """One suite: `test`, `invariance`, or a JSONL file relative to `root`."""
    if name in OF_THE_ROWS:
        if dataset_dir is None:
            raise InputError(f"the suite {name} needs a dataset", cure="give a JSONL file instead")
        held_out = sample(test_items(dataset_dir), max_items)
        items = held_out if name == "test" else tuple(filter(None, map(invariance_item, held_out)))
    else:
        items = sample(file_items(root / name), max_items)
    if not items:
        raise InputError(f"the suite {name} has no cases", cure="add rows with a label, or leave the suite out")
    return Suite(name=Path(name).stem, kind="invariance" if name == "invariance" else "answer", items=items)


def test_items(dataset_dir: Path) -> tuple[Item, ...]:
    """The held-out rows that have an expected answer; all of them where none has one: then they are only asked."""
    from flyball.data.rows import read_rows  # pyarrow loads with the rows; files and URLs do without it

    items = tuple(
        Item(id=row.row_id, messages=(Message(role="user", content=row.text),), expected=row.label)
        for row in read_rows(dataset_dir, "test")
    )
    return tuple(item for item in items if item.expected is not None) or items


def invariance_item(item: Item) -> Item | None:
    """The same case after one edit of its last message; None where no edit applies."""
    *before, last = item.messages
    edited = perturb(last.content, f"{EDIT_SEED}:{item.id}")
    if edited is None:
        return None
    kind, text = edited
    messages = (*before, Message(role=last.role, content=text))
    return Item(id=item.id, messages=messages, original=item.messages, slice=kind)


def file_items(path: Path) -> tuple[Item, ...]:
    """The cases of a JSONL file; each is named by the hash of what it asks and expects."""
    items: dict[str, Item] = {}
    for messages, expected in read_cases(path):
        name = hashlib.sha256(canonical_json([messages, expected])).hexdigest()[:32]
        items[name] = Item(id=name, messages=messages, expected=expected)
    return tuple(items.values())


def sample(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many items, chosen by a seeded hash of their ids, in the order they had."""
    if most is None or len(items) <= most:
        return items
    ranks = {item.id: hashlib.sha256(f"{SAMPLE_SEED}:{item.id}".encode()).digest() for item in items}
    chosen = set(sorted(ranks, key=ranks.__getitem__)[:most])
    return tuple(item for item in items if item.id in chosen)
