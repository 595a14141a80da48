"""One person's rows taken out of a dataset folder. I/O: rewrites folders atomically.

Nothing of the old bytes is reused: files are rewritten, so that no page of the old ones survives in the new ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from flyball.data.dataset_folder import replaced_folder
from flyball.data.dataset_stage import RowCounts
from flyball.data.dataset_version import split_ref
from flyball.data.rows import REJECTS, SPLITS, Reject, Row, RowWriter, read_rejects, read_rows
from flyball.data.text_profile import make_profile
from flyball.records import DatasetVersion, fingerprint


def rewrite_without(
    folder: Path, subject: str, out: Path, previous: DatasetVersion, *, key: bytes
) -> tuple[DatasetVersion, int]:
    """The dataset of `folder` without the rows and rejects of the person with this keyed hash, and how many went.

    `out` may be `folder`. The new version names the previous one as its parent; when the person has no row there, the
    previous version comes back and nothing is written.
    """
    gone = sum(row.subject == subject for split in SPLITS for row in read_rows(folder, split))
    gone += sum(reject.subject == subject for reject in read_rejects(folder))
    if not gone:
        return previous, 0
    books = RowCounts()
    with replaced_folder(out) as target:
        lost, dropped = _copy_rejects(folder, target, subject, previous)
        for split in SPLITS:
            with RowWriter(target / f"{split}.parquet", Row) as writer:
                for row in read_rows(folder, split):
                    if row.subject == subject:
                        lost[row.source] += 1
                    else:
                        books.keep(split, row, writer)
        make_profile(target, key)
    return replace(_without(previous, books, lost), dropped=dropped), gone


def _copy_rejects(
    folder: Path, target: Path, subject: str, previous: DatasetVersion
) -> tuple[Counter[str], dict[str, int]]:
    """Everybody else's rejects; how many of the person's there were by source, and what is counted without them."""
    lost: Counter[str] = Counter()
    dropped = Counter(dict(previous.dropped))  # of many rejects only the first stand in the file
    with RowWriter(target / f"{REJECTS}.parquet", Reject) as writer:
        for reject in read_rejects(folder):
            if reject.subject == subject:
                lost[reject.source] += 1
                dropped[reject.reason] -= 1
            else:
                writer.write(reject)
    return lost, {reason: count for reason, count in sorted(dropped.items()) if count > 0}


def _without(previous: DatasetVersion, books: RowCounts, lost: Counter[str]) -> DatasetVersion:
    return replace(
        previous,
        parents=(fingerprint(previous),),
        sources=tuple(replace(source, rows=source.rows - lost[source.name]) for source in previous.sources),
        splits=tuple(split_ref(side, books.row_ids[side]) for side in SPLITS),
        labels=books.label_names if previous.task == "classification" else (),
        rows_in=previous.rows_in - lost.total(),
        changed=dict(sorted(books.changed.items())),
        pairs=books.pairs,
    )
