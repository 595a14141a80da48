"""What an eraser is: one store, what it holds of a person, and how it forgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flyball.compliance.subjects import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What one store holds, or held, of a person.

    `counts`: how many of what (rows, files, objects); a name that ends in `_kept` counts what stays on purpose, one in
    `_unread` what nobody could look into, one in `_attention` what somebody has to look at, one in `_searched` what was
    looked into, one in `_mentioning` what has the name, but is not the person's: none says that the person was found.
    `records`: names of DatasetVersions that hold the person's rows, each with the version that takes its place (None:
    none does, or not yet known).
    `mentions`: by source, where the name stands outside of the person's rows (rows, lines, columns); it stays.
    """

    counts: Mapping[str, int]
    records: Mapping[str, str | None] = field(default_factory=dict)
    mentions: Mapping[str, Any] = field(default_factory=dict)


SOURCES_UNREAD = "sources_unread"
"""Sources that nobody can read, so that an erasure is incomplete: the same command goes on when they can be."""
NOTES = ("_unread", "_attention", "_searched", "_mentioning")


class Eraser(Protocol):
    """One store of personal data (raw files, dataset versions, DVC's cache, tracking, traffic).

    `plan` changes nothing; its answer is kept in the journal before anything is removed, so that a receipt is complete
    even if the process is killed between removing and noting. `apply` removes, is idempotent (a second call after a
    crash finishes what the first began and succeeds when nothing is left), and returns what it removed now; names in
    `records` that `plan` gave need not be given again, their replacements must be, where there are any.
    """

    @property
    def name(self) -> str:
        """The store's name in the receipt."""
        ...

    def plan(self, person: Person) -> Traces:
        """What is there of this person."""
        ...

    def apply(self, person: Person) -> Traces:
        """Remove it."""
        ...


@dataclass(frozen=True, slots=True)
class FormerSpelling:
    """A store that may still hold a person under a spelling from before identifiers had one canonical form."""

    store: Eraser
    former: Person

    @property
    def name(self) -> str:
        """The store's name, told apart; the spelling itself is a name, which no receipt holds."""
        return f"{self.store.name}, former spelling"

    def plan(self, person: Person) -> Traces:
        """What is there under the former spelling."""
        return self.store.plan(self.former)

    def apply(self, person: Person) -> Traces:
        """Remove it."""
        return self.store.apply(self.former)


def merged(plan: Traces, applied: Traces) -> Traces:
    """The fuller account of the two: after a crash the second `apply` finds less than there was."""
    counts = {
        name: max(plan.counts.get(name, 0), applied.counts.get(name, 0))
        for name in sorted({*plan.counts, *applied.counts})
    }
    records = {**plan.records, **{old: new for old, new in applied.records.items() if new or old not in plan.records}}
    return Traces(counts=counts, records=dict(sorted(records.items())), mentions=applied.mentions)
