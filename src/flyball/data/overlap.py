"""Training rows that overlap the cases of a suite: equal texts, shared passages, near duplicates. Pure.

Rows are read once and never kept; what is indexed are the cases. A case that a row equals after normalisation, or that
shares a passage of 13 words with one (26 characters where a script has no blanks), was seen in training. Passages in
many rows are no leak: a footer, or the question that stands before each text. Neither is what all cases of a suite
begin or end with, which is taken off both sides first. Near duplicates are found as deduplication finds them, from a
lower similarity on: one word changed in a short text changes three of its 3-grams.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal

from flyball.data.deduplication import GRAM, jaccard
from flyball.inference.words import UNSPACED, units_of

Kind = Literal["equal", "passage", "near"]
PASSAGE: Final = 13
"""Words of a passage; a character of a script without blanks counts half."""
NEAR: Final = 0.6
"""Jaccard similarity of 3-grams from which a case is a near duplicate of a row: one word changed in 14."""
COMMON_ROWS: Final = 10
"""A passage in more rows than this, or in more than half of them, is a form and no leak."""
LEAST_FRAMED: Final = 10
"""Cases from which on what all begin or end with is taken for a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A case, the first training row that it overlaps, and how: the strongest kind that was found."""

    case: str
    row: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Units that all texts of a suite begin and end with."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def taken_off(self, units: list[str]) -> list[str]:
        """The units without it, where they have it."""
        start, end = len(self.before), len(units) - len(self.after)
        if not (start or self.after) or start >= end:
            return units
        if tuple(units[:start]) != self.before or tuple(units[end:]) != self.after:
            return units
        return units[start:end]


Passage = tuple[int, int, int]
"""A run of a text's units: one number for all runs of the same units, where it starts, where it ends."""


class CaseIndex:
    """The cases of one suite, ready to be compared with row after row."""

    def __init__(self, cases: Mapping[str, str]) -> None:
        parted = {case: _units(text) for case, text in cases.items()}
        self._frame = frame_of(list(parted.values()))
        parted = {case: self._frame.taken_off(units) for case, units in parted.items()}
        self._equal: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for case, units in parted.items():
            self._equal[tuple(units)].append(case)
        self._passages = {case: list(passages_of(units)) for case, units in parted.items()}
        self._wanted = frozenset(number for found in self._passages.values() for number, _, _ in found)
        self._grams = {case: grams_in(units) for case, units in parted.items()}
        self._frequency = Counter(gram for grams in self._grams.values() for gram in grams)
        self._by_gram: defaultdict[int, list[str]] = defaultdict(list)
        for case, grams in self._grams.items():
            for gram in self._prefix(grams):
                self._by_gram[gram].append(case)
        self._rows = 0
        self._found: dict[str, Overlap] = {}
        self._near: dict[str, tuple[float, str]] = {}
        self._shared: dict[int, tuple[str, int]] = {}

    def compare(self, row: str, text: str) -> None:
        """Take one row."""
        self._rows += 1
        units = self._frame.taken_off(_units(text))
        for case in self._equal.get(tuple(units), ()):
            self._found.setdefault(case, Overlap(case=case, row=row, kind="equal"))
        grams = grams_in(units)
        known = len(self._frequency.keys() & grams)
        if not known:
            return  # nor does it share a passage
        for passage in self._wanted.intersection(number for number, _, _ in passages_of(units)):
            first, times = self._shared.get(passage, (row, 0))
            self._shared[passage] = (first, times + 1)
        if known < NEAR * len(grams) - 1e-9:
            return  # the cases do not have enough of it
        for case in {case for gram in self._prefix(grams) for case in self._by_gram.get(gram, ())}:
            similarity = jaccard(grams, self._grams[case], NEAR)
            if similarity > self._near.get(case, (0.0, ""))[0]:
                self._near[case] = (similarity, row)

    def overlaps(self) -> Iterator[Overlap]:
        """What was found, in the order of the cases."""
        common = min(COMMON_ROWS, max(1, self._rows // 2))
        for case, passages in self._passages.items():
            if case in self._found:
                yield self._found[case]
            elif row := self._shares(passages, common):
                yield Overlap(case=case, row=row, kind="passage")
            elif case in self._near:
                yield Overlap(case=case, row=self._near[case][1], kind="near")

    def _shares(self, passages: Sequence[Passage], common: int) -> str | None:
        """The first row with one of the passages; one that reaches into a form is shared by chance."""
        shared = [(range(start, end), *self._shared[one]) for one, start, end in passages if one in self._shared]
        forms = {at for places, _, times in shared if times > common for at in places}
        own = (row for places, row, times in shared if times <= common and forms.isdisjoint(places))
        return next(own, None)

    def _prefix(self, grams: frozenset[int]) -> list[int]:
        """The rarest grams, one of which two sets share that are similar enough (see deduplication)."""
        ordered = sorted(grams, key=lambda gram: (self._frequency.get(gram, 0), gram))
        return ordered[: len(grams) - math.ceil(NEAR * len(grams) - 1e-9) + 1]


def frame_of(texts: Sequence[list[str]]) -> Frame:
    """What all of the texts begin and end with; nothing where they are few."""
    if len(texts) < LEAST_FRAMED:
        return Frame()
    before = _common_start(texts)
    after = _common_start([units[::-1] for units in texts])[::-1]
    if len(before) + len(after) >= min(map(len, texts)):
        return Frame()  # a text would have nothing left
    return Frame(before=before, after=after)


def _common_start(texts: Sequence[list[str]]) -> tuple[str, ...]:
    """What all of them begin with: what their least and greatest do."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(texts), max(texts), strict=False))
    return tuple(first for first, _ in pairs)


def passages_of(units: Sequence[str]) -> Iterator[Passage]:
    """Each run of units that is as long as a passage."""
    if UNSPACED.search("".join(units)) is None:
        for start, number in enumerate(_runs(units, PASSAGE)):
            yield number, start, start + PASSAGE
        return
    weights = [1 if len(unit) == 1 and UNSPACED.match(unit) else 2 for unit in units]
    end = total = 0
    for start, weight in enumerate(weights):
        while total < 2 * PASSAGE and end < len(units):
            total += weights[end]
            end += 1
        if total < 2 * PASSAGE:
            return
        yield hash(tuple(units[start:end])), start, end  # within this process; 64 bits do not collide in practice
        total -= weight


def grams_in(units: Sequence[str]) -> frozenset[int]:
    """The 3-grams as deduplication makes them, by numbers of this process alone, which are quicker to make."""
    return frozenset(_runs(units, GRAM)) or frozenset((hash(tuple(units)),))


def _runs(units: Sequence[str], length: int) -> Iterator[int]:
    return map(hash, zip(*(units[at:] for at in range(length)), strict=False))


def _units(text: str) -> list[str]:
    return units_of(text) or [text]
