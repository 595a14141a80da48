"""How far a running test has come, kept in the table `monitors`. I/O: the ledger.

A pass reads the state, computes without holding a lock, and writes only if the state is still the one it read: a second
control process, or a crash between the two, can neither count an observation twice nor raise a finding twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import and_, select, update

from flyball.monitoring.monitor import Observation
from flyball.records import Finding
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new

FAIR_BLOCK = 50
"""One person counts at most once in each block of so many observations: requests of one person are not independent."""
RECENT = 200


class Example(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An observation of the watched kind: its place, its request, and who asked (shortened; nobody: the request)."""

    seq: int
    request: str
    person: str


class Seen(msgspec.Struct, kw_only=True):
    """How many observations there were, and who made those of the current block (shortened)."""

    seen: int = 0
    people: list[str] = []

    def admits(self, who: str | None, *, fair: bool) -> bool:
        """Whether an observation of this person counts; takes note of it. `fair`: a person counts once per block."""
        if self.seen % FAIR_BLOCK == 0:
            self.people = []
        self.seen += 1
        person = (who or "")[:16]
        if not fair or not person:
            return True
        if person in self.people:
            return False
        self.people.append(person)
        return True


class Progress(Seen, kw_only=True):
    """The state of one running test: requests by id only, so that erasure has nothing to look for here."""

    test: dict[str, Any]
    recent: list[Example] = []  # newest last
    pending: list[str] = []  # feedback whose request is not in the ledger yet
    lost: int = 0  # pending feedback given up because there was too much of it
    finding: str | None = None

    def remember(self, one: Observation) -> None:
        """Keep an observation as a possible example."""
        example = Example(seq=one.seq, request=one.request, person=(one.person or one.request)[:16])
        self.recent = [*self.recent, example][-RECENT:]

    def since(self, seq: int) -> list[Example]:
        """The examples from a place of the ledger on."""
        return [example for example in self.recent if example.seq >= seq]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a test stands: the last place of the ledger it has taken in, and its stored state (None: not begun)."""

    name: str
    through_seq: int = 0
    state: str | None = None


def load(ledger: Ledger, name: str) -> Place:
    """Where the test of this name stands."""
    column = tables.monitors.c
    query = select(tables.monitors).where(column.project == ledger.project, column.name == name)
    with ledger.read() as connection:
        row = connection.execute(query).one_or_none()
    return Place(name=name) if row is None else Place(name=name, through_seq=row.through_seq, state=row.state)


def save(ledger: Ledger, place: Place, progress: Seen, *, through_seq: int, findings: Sequence[Finding] = ()) -> bool:
    """Move a test on, with its findings, in one transaction; False when another process was first."""
    column = tables.monitors.c
    values = {"through_seq": through_seq, "state": msgspec.json.encode(progress).decode()}
    with ledger.begin() as connection:
        if place.state is None:
            key = {"project": ledger.project, "name": place.name}
            moved = insert_new(connection, tables.monitors, key | values)
        else:
            same = and_(
                column.project == ledger.project,
                column.name == place.name,
                column.through_seq == place.through_seq,
                column.state == place.state,
            )
            moved = connection.execute(update(tables.monitors).where(same).values(**values)).rowcount == 1
        for finding in findings if moved else ():
            ledger.append(finding, connection=connection)
    return moved
