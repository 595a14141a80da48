"""Which cases of own suites are in the rows that a release was trained on. I/O: reads the dataset's rows.

The suites of held-out rows are left out: the splits keep those apart from the training rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.errors import EnvironmentMissing, FlyballError, NotFoundError
from flyball.evaluation.suites.suite import Item, Suite
from flyball.privacy.redaction import redact
from flyball.records import DatasetVersion, Message, SuiteOverlap, name_of
from flyball.records.record_files import read_document

MOST_NAMED = 50
TRAINED_ON = ("train", "validation")


class LeakedCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case that is in the training rows: equal, by a passage, or near; `row` is the row's content hash."""

    suite: str
    case: str
    row: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the comparison found; `overlaps` is None where the rows are not here."""

    overlaps: tuple[SuiteOverlap, ...] | None = None
    cases: tuple[LeakedCase, ...] = ()
    notes: tuple[str, ...] = ()


def compare_with_training(
    suites: Sequence[Suite],
    *,
    trained_on: str | None,
    dataset_dir: Path | None,
    redaction: str,
    most: int | None = MOST_NAMED,
) -> Compared:
    """The suites beside the rows of the dataset version `trained_on`, where `dataset_dir` holds it.

    `most`: how many cases are named; None: all.
    """
    if not suites or trained_on is None:
        return Compared()
    if dataset_dir is None or not holds(dataset_dir, trained_on):
        return Compared(notes=(f"not compared with the training rows: dataset {trained_on[:12]} is not here",))
    from flyball.data.overlap import CaseIndex
    from flyball.data.rows import read_rows  # pyarrow loads with the rows; serving does without it

    cases = [{item.id: text_of(item, redaction) for item in suite.items} for suite in suites]
    indexes = [CaseIndex(texts) for texts in cases]
    try:
        for split in TRAINED_ON:
            for row in read_rows(dataset_dir, split):
                text = row.text if row.turns is None else said(msgspec.json.decode(row.turns, type=list[Message]))
                for index in indexes:
                    index.compare(row.row_id, text)
    except (EnvironmentMissing, NotFoundError) as error:
        return Compared(notes=(f"not compared with the training rows: {error}",))
    found: list[LeakedCase] = []
    overlaps: list[SuiteOverlap] = []
    for suite, texts, index in zip(suites, cases, indexes, strict=True):
        mine = [LeakedCase(suite=suite.name, case=o.case, row=o.row, kind=o.kind) for o in index.overlaps()]
        overlaps.append(counted(suite.name, texts, mine))
        found += mine
    notes = tuple(note_of(one, found) for one in overlaps if one.equal + one.passage + one.near)
    return Compared(overlaps=tuple(overlaps), cases=tuple(found[:most]), notes=notes)


def holds(dataset_dir: Path, dataset: str) -> bool:
    """Whether the folder holds this dataset version."""
    path = dataset_dir / "record.json"
    try:
        record = read_document(path)[0] if path.is_file() else None
    except FlyballError:
        return False
    return isinstance(record, DatasetVersion) and name_of(record) == dataset


def text_of(item: Item, redaction: str) -> str:
    """What a case asks, redacted as rows are."""
    return redact("\n".join([said(item.messages), *item.follow_ups]), redaction).text


def said(messages: Sequence[Message]) -> str:
    """What both sides said: a system prompt is no case's own."""
    return "\n".join(message.content for message in messages if message.role != "system")


def counted(suite: str, texts: Mapping[str, str], cases: Sequence[LeakedCase]) -> SuiteOverlap:
    """The cases of one suite by kind."""
    kinds = Counter(case.kind for case in cases)
    return SuiteOverlap(
        suite=suite, cases=len(texts), equal=kinds["equal"], passage=kinds["passage"], near=kinds["near"]
    )


def note_of(one: SuiteOverlap, cases: Sequence[LeakedCase]) -> str:
    """The counts of a suite in words, with a few of the cases."""
    leaked = one.equal + one.passage
    named = [f"{case.case} ({case.kind}: row {case.row[:12]})" for case in cases if case.suite == one.suite][:5]
    return (
        f"{one.suite}: {leaked} of {one.cases} cases ({leaked / one.cases:.1%}) are in the training rows ({one.equal} "
        f"equal, {one.passage} by a passage), and {one.near} ({one.near / one.cases:.1%}) nearly: {', '.join(named)}"
    )
