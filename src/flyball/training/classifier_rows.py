"""Rows that a classifier learns from: texts with a yes or no, each once, and on which side they are. I/O: reads files.

Sides are drawn by a hash of the group, or of the text's words where there is none: what has the same words is on one
side. A text that two rows answer differently is left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from flyball.data.config import SourceConfig
from flyball.data.readers.source_rows import read_source
from flyball.errors import InputError
from flyball.inference.classifiers.hashed_ngrams import words_in
from flyball.inference.classifiers.header import Source
from flyball.inference.labels import label_text, one_form

Side = Literal["train", "choose", "held_out"]
SPLIT_SEED: Final = "classifier-split-1"
FEWEST_OF_A_CLASS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of the files have the text, its label and its group, and which label is the positive one."""

    text: str = "text"
    label: str = "label"
    positive: str = "1"
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text: whether it is positive, the number of its file, and its side."""

    text: str
    positive: bool
    source: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows of the files; `left_out` by reason, `negative`: the labels that are not the positive one."""

    rows: tuple[Row, ...]
    negative: tuple[str, ...]
    left_out: dict[str, int]
    sources: tuple[Source, ...]

    def on(self, side: Side) -> list[Row]:
        """The rows of one side."""
        return [row for row in self.rows if row.side == side]


def read_rows(files: Sequence[Path], columns: Columns, *, licences: Sequence[str] = ()) -> Rows:
    """The rows of all files; InputError where one class has too few."""
    left_out: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    seen: dict[str, Row | None] = {}
    sources = []
    for number, path in enumerate(files):
        count = 0
        for text, label, group in labelled_texts(path, columns, left_out):
            count += 1
            labels[label] += 1
            words = " ".join(words_in(text))
            row = Row(text=text, positive=label == columns.positive, source=number, side=side_of(group or words))
            keep_once(seen, words, row, left_out)
        licence = licences[number if len(licences) > 1 else 0] if licences else None
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        sources.append(Source(name=path.name, sha256=digest, rows=count, licence=licence))
    rows = tuple(row for row in seen.values() if row is not None)
    check_classes(rows, labels, columns)
    negative = tuple(sorted(label for label in labels if label != columns.positive))
    return Rows(rows=rows, negative=negative, left_out=dict(sorted(left_out.items())), sources=tuple(sources))


def labelled_texts(path: Path, columns: Columns, left_out: Counter[str]) -> Iterator[tuple[str, str, str | None]]:
    """(text, label, group) of each row that has a text and a label."""
    for row in read_source(path, SourceConfig(path=str(path))):
        fields = row.fields
        if fields is None:
            left_out[row.problem or "unreadable"] += 1
            continue
        text, label = fields.get(columns.text), label_text(fields.get(columns.label))
        if not isinstance(text, str) or not text.strip():
            left_out["no text"] += 1
        elif label is None or not one_form(label):
            left_out["no label"] += 1
        else:
            group = label_text(fields.get(columns.group)) if columns.group else None
            yield text, one_form(label), group and f"{path.name}:{group}"


def keep_once(seen: dict[str, Row | None], words: str, row: Row, left_out: Counter[str]) -> None:
    """Keep a row unless its words were there before; forget both where they disagree."""
    if words not in seen:
        seen[words] = row
        return
    before = seen[words]
    left_out["same words"] += 1
    if before is not None and before.positive != row.positive:
        seen[words] = None
        left_out["same words, other label"] += 1


def side_of(key: str) -> Side:
    """80 % train, 10 % choose settings, 10 % are held out."""
    number = int.from_bytes(hashlib.sha256(f"{SPLIT_SEED}:{key}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
    tenth = number * 10 >> 64
    return "train" if tenth < 8 else "choose" if tenth == 8 else "held_out"


def check_classes(rows: Sequence[Row], labels: Counter[str], columns: Columns) -> None:
    """InputError unless both classes have enough rows on each side."""
    found = ", ".join(f"{label} ({count})" for label, count in labels.most_common(8)) or "none"
    if columns.positive not in labels:
        raise InputError(
            f"no row has the label {columns.positive!r} in column {columns.label!r}; labels: {found}",
            cure="name the label to detect by --positive, and the columns by --text and --label",
        )
    positives = sum(row.positive for row in rows)
    if min(positives, len(rows) - positives) < FEWEST_OF_A_CLASS:
        raise InputError(
            f"{positives} positive rows and {len(rows) - positives} others: too few; labels: {found}",
            cure=f"give at least {FEWEST_OF_A_CLASS} different texts of each",
        )
    for side in ("train", "choose", "held_out"):
        if len({row.positive for row in rows if row.side == side}) < 2:
            raise InputError(
                f"the rows for {side} are all of one class", cure="give more rows, or a --group with more values"
            )
