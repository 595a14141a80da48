"""A user's own suite: a file of cases in one of the usual layouts. I/O: reads JSONL, a JSON array, CSV or Parquet."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_rows import read_source
from flyball.errors import FlyballError, InputError, NotFoundError
from flyball.evaluation.suites.layouts import Case, Layout, case_of, layout_of
from flyball.evaluation.suites.suite import Item
from flyball.records import canonical_json

HEAD = 50
CHOICES = ("choices", "options")
"""Columns of multiple choice, whose question makes no sense without them."""
SHAPE = 'each row has {"text": …, "label": …} or {"messages": […], "expected": …}; name others with --text and --label'


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a suite's files ask and answer; None: by their names, else guessed."""

    text: str | None = None
    label: str | None = None


def file_items(path: Path, columns: Columns | None = None) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The cases of a file, each named by the hash of what it asks and expects, and what was noticed on the way."""
    rows = rows_of(path)
    layout, reason = find_layout(path, rows, columns or Columns())
    items: dict[str, Item] = {}
    answers: Counter[bytes] = Counter()
    several = 0
    for row in rows:
        (messages, expected), more = parse(path, row, layout)
        several += more
        name = hashlib.sha256(canonical_json([messages, expected])).hexdigest()[:32]
        if name not in items:
            answers[canonical_json(messages)] += 1
        items[name] = Item(id=name, messages=messages, expected=expected)
    contradicted = sum(times > 1 for times in answers.values())
    notes = [*noticed(path.name, len(rows), len(items), contradicted, several, reason)]
    asked = (layout.question, layout.beside, layout.answer)
    if unasked := [name for name in CHOICES if name not in asked and name in (rows[0].fields or {})]:
        notes.append(f"{path.name}: its column {unasked[0]!r} is not asked: write the choices into {layout.question!r}")
    return tuple(items.values()), tuple(notes)


def noticed(name: str, rows: int, items: int, contradicted: int, several: int, reason: str) -> Iterator[str]:
    """What a reader of the scores should know of a file: one sentence each."""
    if reason:
        yield f"{name}: {reason}"
    if items < rows:
        yield f"{name}: {rows - items} of {rows} rows repeat another (the same question and answer) and count once"
    if contradicted:
        yield f"{name}: {contradicted} questions have different expected answers, so that one must count as wrong"
    if several:
        yield f"{name}: {several} cases have several expected answers, of which the first counts"


def rows_of(path: Path) -> list[RawRow]:
    """The rows of a file; InputError names the first that cannot be read."""
    if not path.exists():
        raise NotFoundError(f"no suite {path}", cure="name `test`, `invariance` or a file that exists")
    try:
        rows = list(read_source(path))
    except FlyballError as error:
        error.cure = error.cure or SHAPE
        raise
    for row in rows:
        if row.fields is None:
            raise InputError(f"{path}:{row.line}: {row.problem}: {row.detail}", cure=SHAPE)
    return rows


def find_layout(path: Path, rows: list[RawRow], columns: Columns) -> tuple[Layout, str]:
    """The layout of a file and, where it is not the plain one, why."""
    seen = list(dict.fromkeys(name for row in islice(rows, HEAD) for name in row.fields or ()))
    if not rows:
        raise InputError(f"the suite {path} has no cases", cure=SHAPE)
    for option, name in (("--text", columns.text), ("--label", columns.label)):
        if name is not None and name not in seen:
            raise InputError(f"{path} has no column {name!r}, but {', '.join(seen)}", cure=f"give {option} one of them")
    layout = layout_of(seen, text=columns.text, label=columns.label)
    if layout is not None:
        plainly = (layout.question, layout.answer) in (("text", "label"), ("messages", "expected"))
        return layout, "" if plainly or columns != Columns() else f"asked and expected: {layout}, by their names"
    return guessed(path, seen, columns)


def guessed(path: Path, seen: list[str], columns: Columns) -> tuple[Layout, str]:
    """The columns by what is in them, as `flyball init --from` guesses."""
    from flyball.data.schema_inference import guess  # only where no name is known

    try:
        found = {field.role: field.column for field in guess(path, text=columns.text, label=columns.label).fields}
    except InputError:
        found = {}
    text, label = columns.text or found.get("text"), columns.label or found.get("label")
    others = [name for name in seen if name not in (text, label)]
    if bool(text) != bool(label) and len(others) == 1:
        text, label = text or others[0], label or others[0]
    if not text or not label or text == label:
        unknown = "none of its columns is known to ask or to answer"
        if text or label:
            unknown = f"which of its columns {'answers' if text else 'asks'} is not known"
        raise InputError(
            f"{path}: {unknown}: {', '.join(others or seen)}",
            cure=f"say which: --text {_word(text)} --label {_word(None if text == label else label)}",
        )
    layout = Layout(question=text, answer=label)
    return layout, f"asked and expected: {layout}, guessed from their contents (--text and --label say otherwise)"


def _word(column: str | None) -> str:
    """A column as an option's value; COLUMN where it is not known."""
    return shlex.quote(column) if column else "COLUMN"


def own_layout(row: RawRow, layout: Layout) -> Layout:
    """The file's layout, or that of a row which is written otherwise."""
    fields = row.fields or {}
    if layout.question in fields:
        return layout
    return layout_of(list(fields)) or layout


def parse(path: Path, row: RawRow, layout: Layout) -> tuple[Case, bool]:
    """A row's case; InputError names its line."""
    try:
        return case_of(row.fields or {}, own_layout(row, layout))
    except (ValueError, InputError) as error:
        what = error.message if isinstance(error, InputError) else str(error)
        raise InputError(f"{path}:{row.line}: {what}", cure=SHAPE) from error
