"""The training rows nearest to what a request asked, with their texts by role. I/O: reads loop/dataset."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from flyball.evaluation.training_overlap import holds
from flyball.inference.words import words_of
from flyball.storage.traffic import payload_of
from flyball.wiring import Project

MOST_COMPARED = 200_000
MOST_CHARACTERS = 2_000


def asked_text(project: Project, request: str) -> str:
    """What the user of a request said last, redacted; empty where its texts were not kept, or erased."""
    payload = payload_of(project.ledger, request)
    if payload is None or payload.redacted is None:
        return ""
    try:
        document = msgspec.json.decode(payload.redacted)
    except msgspec.DecodeError:
        return payload.redacted
    asked = document.get("request", document) if isinstance(document, dict) else document
    if not isinstance(asked, dict):
        return str(asked)
    said = [one for one in asked.get("messages") or () if isinstance(one, dict) and one.get("role") == "user"]
    return words_in(said[-1].get("content") if said else asked.get("prompt", asked.get("input")))


def words_in(content: Any) -> str:
    """Content of a message as text: a string, or the texts among its parts."""
    if isinstance(content, list):
        return "\n".join(words_in(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def nearest(project: Project, dataset: str, text: str, *, limit: int) -> list[dict[str, Any]]:
    """The `limit` rows of a dataset version that share the most telling words with `text`, nearest first.

    Each has `row`, `likeness` (0 to 1: see `closest`) and `texts` by role. Empty where loop/ holds another version, or
    where no row shares a word.
    """
    if not text or limit < 1 or not is_there(project, dataset):
        return []
    rows = islice(_rows(project), MOST_COMPARED)
    return [
        {"row": row.row_id, "likeness": round(score, 3), "texts": texts_of(row)}
        for score, row in closest(text, rows, limit=limit)
    ]


def is_there(project: Project, dataset: str) -> bool:
    """Whether loop/dataset holds this version."""
    return holds(project.places.dataset, dataset)


def _rows(project: Project) -> Iterator[Any]:
    from flyball.data.rows import read_rows  # pyarrow loads with it

    for split in ("train", "validation"):
        yield from read_rows(project.places.dataset, split)


def closest(text: str, rows: Iterable[Any], *, limit: int) -> list[tuple[float, Any]]:
    """(likeness, row) of the rows that share words with `text`, at most `limit`; ties in the order of the rows.

    A Jaccard index over words weighted by their rarity; a row's other words weigh as those of `text` on average. 1 is
    the same words.
    """
    asked = set(words_of(text))
    count: Counter[str] = Counter()
    found, total = [], 0
    for total, row in enumerate(rows, 1):  # noqa: B007 (the last one is how many there were)
        words = set(words_of(row.text))
        if shared := asked & words:
            count.update(shared)
            found.append((row, shared, len(words - shared)))
    weight = {word: math.log(1 + total / max(count[word], 1)) for word in asked}
    whole = math.fsum(weight.values())
    scored = [
        (math.fsum(weight[word] for word in shared) / (whole + others * whole / len(asked)), -at, row)
        for at, (row, shared, others) in enumerate(found)
    ]
    return [(score, row) for score, _, row in heapq.nlargest(limit, scored, key=lambda one: one[:2])]


def texts_of(row: Any) -> list[dict[str, str]]:
    """What a row says, by role: what was asked turn by turn, then its label or answer."""
    turns = msgspec.json.decode(row.turns) if row.turns else [{"role": "user", "content": row.text}]
    said = [*turns, *([{"role": "assistant", "content": row.label}] if row.label is not None else [])]
    return [{"role": str(turn["role"]), "content": str(turn["content"])[:MOST_CHARACTERS]} for turn in said]
