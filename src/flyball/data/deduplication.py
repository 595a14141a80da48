"""Exact and near duplicates, and texts with contradicting labels: which rows stay, and why the others go. Pure.

Near duplicates are pairs whose word 3-grams have a Jaccard similarity of at least the threshold. Candidates come from
prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): with grams ordered from rare to
common, two sets that are similar enough share a gram among their first n - ceil(threshold * n) + 1. That finds every
such pair, and each is verified by its exact similarity. No result depends on the order of the rows.

A gram leads to at most `MOST_ROWS` kept rows: text that many rows share, such as a footer, makes them neither alike nor
slow to compare. A pair that is alike is missed only where each gram that could lead to it leads to so many rows before.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from flyball.data.config import DedupeConfig
from flyball.inference.words import units_of, words_and_signs, written_words

GRAM = 3
MOST_ROWS = 128
RANK = {"test": 0, "validation": 1, "train": 2}
"""A test row wins over a validation row, and both over a training row: what is tested on is never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What deduplication and stratifying need of one row; `place` stands for its group.

    `declared` is its source's side; `fixed` rows are on one that their source means to keep as it is; one that `stays`
    has its side from a column of its own.
    """

    row_id: str
    order: tuple[str, int]
    side: str
    label: str | None
    exact: int
    grams: frozenset[int]
    place: int = 0
    declared: str | None = None
    stays: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the row stays as given."""
        return self.declared in ("validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one candidate goes, and because of which row it does."""

    reason: str
    detail: str


def normal_form(text: str) -> str:
    """The words alone: texts that share them are on one side; a text without words stands for itself."""
    return " ".join(written_words(text)) or text


def exact_key(text: str) -> int:
    """One number for all texts with the same words and signs: an emoji or a plus makes another text of it."""
    return _hash(" ".join(words_and_signs(text)) or text)


def grams_of(text: str) -> frozenset[int]:
    """The text's 3-grams of words (of characters where a script has no blanks) as numbers; a shorter text is one."""
    words = units_of(text) or [text]
    return frozenset(_hash(" ".join(words[at : at + GRAM])) for at in range(max(1, len(words) - GRAM + 1)))


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def find_duplicates(candidates: Sequence[Candidate], config: DedupeConfig) -> dict[int, Verdict]:
    """The verdicts on candidates that go, by their position."""
    order = sorted(range(len(candidates)), key=lambda at: _priority(candidates[at]))
    gone: dict[int, Verdict] = {}
    if config.conflicts == "drop":
        _drop_conflicts(candidates, _by_text(candidates, order), gone)
    _drop_exact(candidates, _by_text(candidates, [at for at in order if at not in gone]), config, gone)
    if config.near is not None:
        _drop_near(candidates, [at for at in order if at not in gone], config, gone)
    return gone


def _priority(candidate: Candidate) -> tuple[int, bool, str, tuple[str, int]]:
    return RANK[candidate.side], not candidate.fixed, candidate.row_id, candidate.order


def _by_text(candidates: Sequence[Candidate], order: Iterable[int]) -> dict[int, list[int]]:
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for at in order:
        groups[candidates[at].exact].append(at)
    return {key: members for key, members in groups.items() if len(members) > 1}


def majority(labels: Iterable[str | None]) -> str | None:
    """The label that more rows have than any other; None when there is no such label."""
    (first, times), *others = [*Counter(labels).most_common(2), (None, 0)]
    return None if others[0][1] == times else first


def _drop_conflicts(candidates: Sequence[Candidate], groups: dict[int, list[int]], gone: dict[int, Verdict]) -> None:
    """Of rows on one side with one text, those whose label is not the majority's."""
    for members in groups.values():
        for side in RANK:
            rows = [at for at in members if candidates[at].side == side and not candidates[at].fixed]
            labels = Counter(candidates[at].label for at in rows)
            if len(labels) < 2:
                continue
            kept = majority(labels.elements())
            for at in rows:
                if kept is None or candidates[at].label != kept:
                    detail = f"{len(labels)} labels on {len(rows)} rows with this text"
                    gone[at] = Verdict(reason="conflicting label", detail=detail)


def _drop_exact(
    candidates: Sequence[Candidate], groups: dict[int, list[int]], config: DedupeConfig, gone: dict[int, Verdict]
) -> None:
    """Of rows with one text: copies on the same side, and any on a side that ranks below."""
    for members in groups.values():
        kept: list[int] = []
        for at in members:
            rival = next((other for other in kept if _displaces(candidates[other], candidates[at], config)), None)
            if rival is None:
                kept.append(at)
            else:
                gone[at] = _verdict("exact duplicate", candidates[rival], candidates[at], 1.0)


def _displaces(kept: Candidate, other: Candidate, config: DedupeConfig) -> bool:
    """Whether `kept` sends a copy away: always from a lower side; on its own side unless both labels are wanted."""
    if kept.side != other.side:
        return True
    return kept.label == other.label or (config.conflicts == "drop" and not other.fixed)


def _verdict(reason: str, kept: Candidate, other: Candidate, similarity: float) -> Verdict:
    if kept.side != other.side:
        reason = f"leaks into {kept.side}"
    return Verdict(reason=reason, detail=f"similarity {similarity:.2f} to row {kept.row_id[:12]}")


def _drop_near(
    candidates: Sequence[Candidate], order: list[int], config: DedupeConfig, gone: dict[int, Verdict]
) -> None:
    """Greedy in order of priority: a row goes when a kept row is similar. Minority labels of a cluster go first."""
    clusters = _greedy(candidates, order, config)
    minority: set[int] = set()
    if config.conflicts == "drop":
        minority = _minority(candidates, clusters)
        for at in minority:
            gone[at] = Verdict(reason="conflicting label", detail="most near duplicates of it have another label")
        if minority:
            clusters = _greedy(candidates, [at for at in order if at not in minority], config)
    for at, (leader, similarity) in clusters.items():
        gone[at] = _verdict("near duplicate", candidates[leader], candidates[at], similarity)


def _minority(candidates: Sequence[Candidate], clusters: dict[int, tuple[int, float]]) -> set[int]:
    """Rows whose label fewer rows of their cluster and side have than another label."""
    members: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for at, (leader, _) in clusters.items():
        members[leader, candidates[at].side].append(at)
    minority: set[int] = set()
    for (leader, side), rows in members.items():
        if candidates[leader].side == side:
            rows = [leader, *rows]
        kept = majority(candidates[at].label for at in rows)
        if kept is not None:
            minority.update(at for at in rows if candidates[at].label != kept and not candidates[at].fixed)
    return minority


def _greedy(candidates: Sequence[Candidate], order: list[int], config: DedupeConfig) -> dict[int, tuple[int, float]]:
    """Row → (kept row that displaces it, similarity), each row compared with the kept rows before it."""
    threshold = config.near or 1.0
    frequency = Counter(gram for at in order for gram in candidates[at].grams)
    index: defaultdict[int, list[int]] = defaultdict(list)
    displaced: dict[int, tuple[int, float]] = {}
    for at in order:
        row = candidates[at]
        size = len(row.grams)
        ordered = sorted(row.grams, key=lambda gram: (frequency[gram], gram))
        prefix = ordered[: size - math.ceil(threshold * size - 1e-9) + 1]
        best = (-1, 0.0)
        for other in sorted({other for gram in prefix for other in index[gram]}):
            similarity = jaccard(row.grams, candidates[other].grams, threshold)
            if similarity > best[1] and _may_displace(candidates[other], row, config):
                best = (other, similarity)
        if best[0] >= 0:
            displaced[at] = best
        else:
            for gram in prefix:
                if len(index[gram]) < MOST_ROWS:
                    index[gram].append(at)
    return displaced


def _may_displace(kept: Candidate, row: Candidate, config: DedupeConfig) -> bool:
    """Rows of a declared side are never displaced by their own side; everything else as for exact copies."""
    if kept.side == row.side and row.fixed:
        return False
    return _displaces(kept, row, config)


def jaccard(first: frozenset[int], second: frozenset[int], threshold: float) -> float:
    """Exact Jaccard similarity, or 0 when it is below the threshold."""
    small, large = sorted((len(first), len(second)))
    if small < threshold * large - 1e-9:
        return 0.0
    shared = len(first & second)
    similarity = shared / (small + large - shared)
    return similarity if similarity >= threshold - 1e-9 else 0.0
