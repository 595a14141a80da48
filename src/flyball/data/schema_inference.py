"""What a file of rows is about, for `flyball init --from`: task, fields and splits, explained. I/O: reads the file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from flyball.data.preparing import as_text
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.reading import read_source
from flyball.errors import InputError

ROWS = 20_000
MOST_LABELS = 500
LABEL_LENGTH = 60
NAMES: Mapping[str, re.Pattern[str]] = {
    "text": re.compile(
        r"(?<![a-z])(?:text|message|body|content|question|utterance|prompt|query|input|instruction|sentence|review)"
    ),
    "label": re.compile(
        r"label|intent|categor|class|target|answer|response|completion|output|reply|sentiment|topic|tag"
    ),
    "subject": re.compile(r"customer|user|subject|person|account|patient|client|member|author|sender|e-?mail"),
    "group": re.compile(r"conversation|thread|session|dialog|group|case"),
    "id": re.compile(r"^(?:id|uuid|key|.*_id|.*id)$"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldGuess:
    """A column for one role of `fields`, and why."""

    role: str
    column: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What flyball.yaml should say; `explanations` are one line each, for people."""

    task: str
    fields: tuple[FieldGuess, ...]
    validation: float
    test: float
    explanations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What was seen of one column in the first rows."""

    name: str
    filled: int
    texts: int
    distinct: int
    mean_length: float
    mean_words: float

    @property
    def repeats(self) -> float:
        """How many rows share a value, on average."""
        return self.filled / max(1, self.distinct)


def guess(path: Path) -> Guess:
    """The guess from the first rows of `path`; InputError names the fields seen when none can be the text."""
    raws = list(islice(read_source(path), ROWS))
    rows = [raw.fields for raw in raws if raw.fields]
    if not rows:
        raise InputError(f"{path}: {_why_nothing(raws)}", cure="give a file with one JSON object a line, or a CSV")
    columns = profile_columns(rows)
    text = _text(columns)
    if text is None:
        seen = ", ".join(f"{name} ({kind_of_column(rows, name)})" for name in _names(rows))
        raise InputError(
            f"{path}: no column looks like text; fields seen: {seen}",
            cure="make a file with a text column, or write flyball.yaml by hand and set data.sources[].fields.text",
        )
    label, task = _label(columns, text, len(rows))
    taken = {text.name, label.name if label else ""}
    people = [found for role in ("subject", "group") if (found := _person(columns, role, taken, len(rows)))]
    fields = _explained(text, label, people, _identifier(columns, taken | {p.column for p in people}, len(rows)))
    return Guess(
        task=task,
        fields=fields,
        validation=0.05,
        test=0.15,
        explanations=(_task_line(task, label, len(rows)), _split_line(path, people), *_dirt_line(raws)),
    )


def _why_nothing(raws: Sequence[RawRow]) -> str:
    if not raws:
        return "it has no rows"
    return (
        f"none of the first {len(raws)} rows could be read; line {raws[0].line} is {raws[0].problem}: {raws[0].detail}"
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name, _ in Counter(str(name) for row in rows for name in row).most_common(20)]


def kind_of_column(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The commonest JSON type in a column."""
    kinds = Counter(type(row[name]).__name__ for row in rows if name in row)
    return {"str": "text", "NoneType": "null", "dict": "object"}.get(
        kinds.most_common(1)[0][0], kinds.most_common(1)[0][0]
    )


def profile_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns whose values are text or numbers."""
    columns = []
    for name in _names(rows):
        values = [value for row in rows if (value := as_text(row.get(name))) is not None and value != ""]
        if values:
            columns.append(
                Column(
                    name=name,
                    filled=len(values),
                    texts=sum(isinstance(row.get(name), str) for row in rows),
                    distinct=len(set(values)),
                    mean_length=sum(map(len, values)) / len(values),
                    mean_words=sum(len(value.split()) for value in values) / len(values),
                )
            )
    return columns


def _best(columns: Sequence[Column], score: Callable[[Column], float]) -> Column | None:
    """The column with the highest positive score; of equals the first in the file."""
    best = max(columns, key=score, default=None)
    return best if best is not None and score(best) > 0 else None


def _named(role: str, column: Column) -> bool:
    return NAMES[role].search(column.name.casefold()) is not None


def _text(columns: Sequence[Column]) -> Column | None:
    def score(column: Column) -> float:
        if not column.texts or column.mean_words < 1.5:
            return 0.0
        name = column.name.casefold()
        wanted = 4.0 if name == "text" else 3.0 if _named("text", column) else 0.3 if _named("label", column) else 1.0
        return wanted * min(column.mean_words, 20) * column.distinct / column.filled

    return _best(columns, score)


def _label(columns: Sequence[Column], text: Column, rows: int) -> tuple[Column | None, str]:
    """The label or reply column, and the task that it makes."""

    def classes(column: Column) -> float:
        if column.name == text.name or column.filled < rows / 2 or column.mean_length > LABEL_LENGTH:
            return 0.0
        if not 2 <= column.distinct <= MOST_LABELS or column.repeats < 3:
            return 0.0
        if _named("label", column):
            return 10.0
        return 1.0 if column.texts and not any(_named(role, column) for role in ("subject", "group", "id")) else 0.0

    def replies(column: Column) -> float:
        if column.name == text.name or not column.texts:
            return 0.0
        return column.mean_words if _named("label", column) else 0.0

    found = _best(columns, classes)
    if found:
        return found, "classification"
    return _best(columns, replies), "chat"


def _person(columns: Sequence[Column], role: str, taken: set[str], rows: int) -> FieldGuess | None:
    def score(column: Column) -> float:
        known = _named(role, column) and column.name not in taken and column.filled > rows / 2 and column.mean_words < 3
        return column.repeats if known and column.distinct > 1 else 0.0

    column = _best(columns, score)
    if column is None:
        return None
    what = "the person a row is about" if role == "subject" else "rows that belong together"
    why = f"its name says {what}; {column.distinct} values in {column.filled} rows"
    return FieldGuess(role=role, column=column.name, explanation=why)


def _identifier(columns: Sequence[Column], taken: set[str], rows: int) -> FieldGuess | None:
    for column in columns:
        if column.name not in taken and _named("id", column) and column.distinct == column.filled == rows:
            return FieldGuess(role="id", column=column.name, explanation="every row has another value")
    return None


def _explained(
    text: Column, label: Column | None, people: Sequence[FieldGuess], identifier: FieldGuess | None
) -> tuple[FieldGuess, ...]:
    fields = [
        FieldGuess(role="text", column=text.name, explanation=f"free text, {text.mean_words:.0f} words on average")
    ]
    if label:
        why = f"{label.distinct} values in {label.filled} rows"
        fields.append(FieldGuess(role="label", column=label.name, explanation=why))
    return (*fields, *people, *((identifier,) if identifier else ()))


def _task_line(task: str, label: Column | None, rows: int) -> str:
    if task == "classification" and label:
        return f"task classification: {label.name} repeats {label.distinct} short values in the first {rows} rows"
    if label:
        return f"task chat: {label.name} holds free answers ({label.mean_words:.0f} words on average)"
    return "task chat: no column repeats a small set of values, and none looks like an answer"


def _split_line(path: Path, people: Sequence[FieldGuess]) -> str:
    sibling = _declared_test(path)
    if sibling:
        return f"splits: {sibling.name} lies beside it: add it with `split: test`; this one gets `split: train`"
    keys = [guessed.column for guessed in people if guessed.role == "group"] or [p.column for p in people]
    by = f"all rows of one {keys[0]} stay on one side" if keys else "by the text, as no column names a person or group"
    return f"splits: 15 % test and 5 % validation by keyed hash; {by}"


def _declared_test(path: Path) -> Path | None:
    """A test file beside a training file, such as test.jsonl beside train.jsonl.gz."""
    stem = path.name.split(".")[0]
    if "train" not in stem.casefold():
        return None
    wanted = re.sub("train(?:ing)?", "test", stem, flags=re.IGNORECASE)
    beside = sorted(other for other in path.parent.iterdir() if other.is_file() and other.name.split(".")[0] == wanted)
    return beside[0] if beside else None


def _dirt_line(raws: Sequence[RawRow]) -> tuple[str, ...]:
    problems = Counter(raw.problem for raw in raws if raw.fields is None)
    if not problems:
        return ()
    shown = ", ".join(f"{times} {problem}" for problem, times in problems.most_common())
    return (f"{sum(problems.values())} of the first {len(raws)} rows cannot be read and will be rejected: {shown}",)
