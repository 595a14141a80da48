"""What the build left beside a record: the loss curve of a run, the wrong answers of a report. I/O: reads .flyball/.

A record without such a file, as after a clone, has a page all the same.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.console import text_formats
from flyball.console.record_tables import RecordTable
from flyball.errors import CorruptionError
from flyball.telemetry import log
from flyball.training.loss_curve import CurvePoint, read_curve, thinned

POINTS = 300
TOLD = 10


class _Label(msgspec.Struct):
    suite: str
    label: str
    n: int
    recall: float


class _Wrong(msgspec.Struct):
    suite: str
    text: str
    expected: str
    answer: str
    label: str = ""
    error: str | None = None


class _Details(msgspec.Struct):
    labels: tuple[_Label, ...] = ()
    examples: tuple[_Wrong, ...] = ()
    label_examples: tuple[_Wrong, ...] = ()


class _Document(msgspec.Struct):
    details: _Details


def curve_of(root: Path, run: str) -> tuple[CurvePoint, ...]:
    """The loss curve of a training run in at most POINTS points; empty where it is not kept here."""
    try:
        return thinned(read_curve(root / ".flyball" / "curves" / f"{run}.json"), POINTS)
    except CorruptionError as error:
        log.warning("%s", error.message)
        return ()


def curve_sheet(points: tuple[CurvePoint, ...]) -> RecordTable:
    """The curve as a short table."""
    rows = tuple(
        (text_formats.count(p.step), f"{p.loss:.4f}", text_formats.decimal(p.learning_rate))
        for p in thinned(points, TOLD)
    )
    head = ("up to step", "mean loss", "learning rate")
    return RecordTable(caption="Training loss", head=head, rows=rows, numeric=(1, 2))


def mistakes(root: Path, report: str) -> RecordTable:
    """Wrong answers of the labels with the worst recall; of a report without labels, cases that failed."""
    details = _details(root / ".flyball" / "reports" / report / "report.json")
    head: tuple[str, ...] = ("label", "recall", "n", "asked", "answered")
    recalls = {(row.suite, row.label): row for row in details.labels}
    rows = tuple(
        (one.label, text_formats.percent(row.recall), text_formats.count(row.n), one.text, _said(one))
        for one in details.label_examples
        if (row := recalls.get((one.suite, one.label)))
    )
    if rows:
        return RecordTable(caption="Wrong answers of the worst labels", head=head, rows=rows, numeric=(1, 2))
    head = ("suite", "asked", "expected", "answered")
    failed = tuple((one.suite, one.text, one.expected, _said(one)) for one in details.examples[:TOLD])
    return RecordTable(caption="Cases that failed", head=head, rows=failed)


def _said(one: _Wrong) -> str:
    return one.error or one.answer or "nothing"


def _details(path: Path) -> _Details:
    if not path.is_file():
        return _Details()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document).details
    except msgspec.MsgspecError as error:
        log.warning("%s is not a report: %s", path, error)
        return _Details()
