"""Corrected production answers as rows of the dataset stage. I/O: reads the ledger, replaces one JSONL file at once.

Rows that an earlier curation wrote stay, even when their payloads are gone by now, unless their person was erased.
Against poisoning no author gives more than a stated share: a person who corrects a lot does not decide alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.data.config import ProductionConfig
from flyball.errors import CorruptionError
from flyball.improvement.corrections import ReadPayload, find_corrections, redacted, suppressed
from flyball.storage.ledger import Ledger
from flyball.whole_files import replace_file

SUBJECT_SHARE = 0.05
"""Of all rows, at most, from one person."""
KEY_SHARE = 0.5
"""Of all rows, at most, from one API key for requests that name no person; does not apply to the only author."""
FLOOR = 5
"""Rows that any author may give, however few there are in all."""


class CuratedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file: the user's text, the corrected answer, the person (keyed hash) and the request."""

    text: str
    label: str
    subject: str | None
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """How many rows the file has, how many of them are new, and what was left out, by reason."""

    rows: int
    new: int
    skipped: Mapping[str, int]


def curate(
    ledger: Ledger,
    *,
    config: ProductionConfig,
    out: Path,
    route: str | None = None,
    read: ReadPayload = redacted,
) -> Curated:
    """Write the corrected answers of a route (None: all) to `out`; the same ledger gives the same bytes.

    `read` gives a payload's JSON: redacted by default; who trains on unredacted text hands in one that unseals.
    """
    found = find_corrections(ledger, route=route, read=read)
    erased = suppressed(ledger)
    kept = {row.id: row for row in _rows_of(out) if row.subject not in erased}
    authors = {row.id: row.subject or "earlier" for row in kept.values()}
    fresh = {
        one.request: CuratedRow(text=one.text, label=one.label, subject=one.subject, id=one.request)
        for one in found.usable
    }
    authors |= {one.request: one.subject or f"key:{one.key_id}" for one in found.usable}
    rows = [row for _, row in sorted((kept | fresh).items())]
    chosen, crowded = _fair(rows, authors)
    dropped = max(0, len(chosen) - config.max_rows)
    chosen = chosen[dropped:]  # the newest: ids are UUIDv7
    lines = [msgspec.json.encode(row) + b"\n" for row in chosen]
    replace_file(out, b"".join(lines), durable=True, mode=0o644)  # redacted text, which DVC and git read
    skipped = Counter(found.skipped) + Counter({"author_share": crowded, "max_rows": dropped})
    return Curated(
        rows=len(chosen), new=sum(row.id not in kept for row in chosen), skipped={**dict(sorted(skipped.items()))}
    )


def _fair(rows: list[CuratedRow], authors: Mapping[str, str]) -> tuple[list[CuratedRow], int]:
    """The newest rows of each author within its share, and how many rows that leaves out."""
    alone = len(set(authors.values())) == 1
    taken: Counter[str] = Counter()
    chosen = []
    for row in reversed(rows):
        author = authors[row.id]
        share = SUBJECT_SHARE if row.subject else KEY_SHARE
        limit = len(rows) if alone and not row.subject else max(FLOOR, int(share * len(rows)))
        if author == "earlier" or taken[author] < limit:
            taken[author] += 1
            chosen.append(row)
    return chosen[::-1], len(rows) - len(chosen)


def _rows_of(path: Path) -> Iterable[CuratedRow]:
    if not path.is_file():
        return []
    try:
        return [msgspec.json.decode(line, type=CuratedRow) for line in path.read_bytes().splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise CorruptionError(
            f"{path} is not what curation wrote: {error}", cure=f"delete it, or restore it with `dvc checkout {path}`"
        ) from error
