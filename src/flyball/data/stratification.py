"""Groups that change sides so that each label can be learned and tested. Pure.

The keyed hash of the group decides the side (`splitting`). Only where it leaves a label without a training row, or
without a test row though it has several groups, one group of that label moves: to training the one whose hash is
nearest to it, to the test side the one with the lowest hash whose labels all keep a training row. So a label with rows
enough for both sides is never touched, and a rare label's row moves back at most when the hash gives it a side of its
own as data grows. Groups stay whole, and declared sides stand. Kept rows have no near copy on any side, so that moving
one leaks nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.data.deduplication import Candidate

STEP = "side"
"""The step that a moved row names among what changed it."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """Rows of one group that stand or move together."""

    place: int
    side: str
    declared: str | None
    rows: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)


def moves(candidates: Sequence[Candidate], kept: Iterable[int], *, wants_test: bool) -> dict[int, str]:
    """Position of a kept row → the side that it moves to."""
    groups = _groups(candidates, kept)
    by_label: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        for label in group.labels:
            by_label[label].append(group)
    sides = [group.side for group in groups]
    for label in sorted(by_label, key=lambda name: (len(by_label[name]), name)):
        _give_training(by_label[label])
    if wants_test:
        shared = {place for place, times in Counter(group.place for group in groups).items() if times > 1}
        for label in sorted(by_label, key=lambda name: (len(by_label[name]), name)):
            _give_test(label, by_label, shared)
    return {
        at: group.side for group, side in zip(groups, sides, strict=True) if group.side != side for at in group.rows
    }


def _groups(candidates: Sequence[Candidate], kept: Iterable[int]) -> list[_Group]:
    found: dict[tuple[int, str | None], _Group] = {}
    for at in kept:
        row = candidates[at]
        if row.stays:
            continue
        group = found.get((row.place, row.declared))
        if group is None:
            group = found[row.place, row.declared] = _Group(place=row.place, side=row.side, declared=row.declared)
        group.rows.append(at)
        if row.label is not None:
            group.labels[row.label] += 1
    return list(found.values())


def _give_training(groups: Sequence[_Group]) -> None:
    """One of a label's groups trains, unless all of them are declared otherwise."""
    if any(group.side == "train" for group in groups):
        return
    movable = [group for group in groups if group.declared in (None, "train")]
    if movable:
        max(movable, key=lambda group: group.place).side = "train"


def _give_test(label: str, by_label: Mapping[str, Sequence[_Group]], shared: set[int]) -> None:
    """One of a label's groups is tested on, where each of its labels keeps a training row without it."""
    groups = by_label[label]
    if len(groups) < 2 or any(group.side == "test" for group in groups):
        return
    total = sum(group.labels[label] for group in groups)
    movable = [
        group
        for group in groups
        if group.declared is None
        and group.place not in shared
        and all(any(o.side == "train" and o is not group for o in by_label[name]) for name in group.labels)
    ]
    if movable:
        min(movable, key=lambda group: (2 * group.labels[label] > total, group.place)).side = "test"
