"""Tables of the records that have rows of their own: splits, measures, checks, files, metrics. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyball.console import text_formats
from flyball.console.evidence import comparison, number, rule
from flyball.console.record_facts import VERDICTS, State
from flyball.records import (
    JSON,
    Check,
    DatasetVersion,
    EvalReport,
    Finding,
    GateDecision,
    Measure,
    ModelVersion,
    Record,
    TrainingRun,
)

LONG = 64
"""Characters of a cell, such as a SHA-256, that would push the others aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTable:
    """A table: its caption, heads and rows of text; `numeric` columns stand right, `tones` mark the rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    tones: tuple[State, ...] = ()

    @property
    def is_broad(self) -> bool:
        """Whether it needs the whole width of the page, so that it is not clipped."""
        return len(self.head) > 3 or any(len(cell) >= LONG for row in self.rows for cell in row)


def sheets(record: Record) -> tuple[RecordTable, ...]:
    """Tables where a record has rows of its own."""
    match record:
        case DatasetVersion():
            return _dataset_sheets(record)
        case EvalReport():
            return _measures(record.measures)
        case GateDecision():
            return (_checks(record.checks),)
        case Finding():
            return (_pairs("Evidence", record.evidence),)
        case TrainingRun():
            return (_pairs("Metrics", record.metrics), _pairs("Recipe", record.recipe))
        case ModelVersion():
            files = tuple((f.path, text_formats.size(f.size_bytes), f.sha256) for f in record.files)
            return (RecordTable(caption="Files", head=("path", "size", "sha256"), rows=files, numeric=(1,)),)
    return ()


def _pairs(caption: str, values: Mapping[str, JSON]) -> RecordTable:
    rows = tuple(text_formats.named(key, value) for key, value in values.items())
    return RecordTable(caption=caption, head=("what", "value"), rows=rows, numeric=(1,))


def _dataset_sheets(record: DatasetVersion) -> tuple[RecordTable, ...]:
    splits = tuple((split.name, text_formats.count(split.rows)) for split in record.splits)
    sources = tuple((s.name, text_formats.count(s.rows), s.content_hash) for s in record.sources)
    reasons = [("dropped", *item) for item in record.dropped.items()]
    reasons += [("changed", *item) for item in record.changed.items()]
    changes = tuple((what, text_formats.words(reason), text_formats.count(rows)) for what, reason, rows in reasons)
    return (
        RecordTable(caption="Splits", head=("split", "rows"), rows=splits, numeric=(1,)),
        RecordTable(caption="Dropped and changed", head=("what", "reason", "rows"), rows=changes, numeric=(2,)),
        RecordTable(caption="Sources", head=("source", "rows", "sha256"), rows=sources, numeric=(1,)),
    )


def _measures(measures: tuple[Measure, ...]) -> tuple[RecordTable, ...]:
    """Measures over whole suites, then those of labels and edits, worst first."""
    whole = [measure for measure in measures if measure.slice is None]
    parts = sorted((measure for measure in measures if measure.slice is not None), key=lambda m: (m.value, m.upper))
    found = (_measure_sheet("Measures", whole), _measure_sheet("By label and edit, worst first", parts))
    return tuple(sheet for sheet in found if sheet.rows)


def _measure_sheet(caption: str, measures: Sequence[Measure]) -> RecordTable:
    rows = tuple(
        (
            m.suite + (f" · {m.slice}" if m.slice else ""),
            text_formats.words(m.name),
            number(m, m.value),
            f"{number(m, m.lower)} {text_formats.DASH} {number(m, m.upper)}",
            text_formats.percent(m.level, 0),
            text_formats.count(m.n),
        )
        for m in measures
    )
    head = ("suite", "measure", "value", "interval", "level", "n")
    return RecordTable(caption=caption, head=head, rows=rows, numeric=(2, 3, 4, 5))


def _checks(checks: tuple[Check, ...]) -> RecordTable:
    rows = tuple(
        (
            check.verdict,
            f"{text_formats.words(check.measure)} on {check.suite}",
            rule(check),
            comparison(check),
            text_formats.DASH if check.value is None else f"{check.value:.4g}".replace("-", "−"),
            text_formats.count(check.n),
            check.reason + (f" (needs {text_formats.count(check.needed_n)})" if check.needed_n else ""),
        )
        for check in checks
    )
    return RecordTable(
        caption="Checks",
        head=("verdict", "measure", "rule", "bound", "value", "n", "reason"),
        rows=rows,
        numeric=(3, 4, 5),
        tones=tuple(VERDICTS[check.verdict] for check in checks),
    )
