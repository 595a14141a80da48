"""Rows of a public suite's file: its columns are checked, and a wrong row is named with its line. I/O: reads the file.

`FAMILY:FILE?plain` asks the text alone, as a classifier that was trained on such texts is asked; otherwise a question
stands before it that names the labels, as a language model needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyball.errors import InputError
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

PLAIN: Final = "?plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRow:
    """One row: its place for messages, and its columns as text by their names in lower case."""

    place: str
    columns: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.columns.get(column, "")

    def one_of(self, column: str, known: Collection[str]) -> str:
        """What stands in a column; InputError where it is none of the known values."""
        if (value := self[column]) not in known:
            raise InputError(
                f"{self.place}: {column} is {value!r}, not one of {', '.join(known)}",
                cure="give the published file as it is, or name the value as it does",
            )
        return value


def split_plain(path: Path) -> tuple[Path, bool]:
    """The file, and whether its texts are asked alone."""
    plain = path.name.endswith(PLAIN)
    return (path.with_name(path.name.removesuffix(PLAIN)) if plain else path), plain


def public_rows(path: Path, family: str, needed: Sequence[str], *, filled: Sequence[str] = ()) -> list[PublicRow]:
    """The rows of a file; InputError names a column that lacks, or is empty in a row though `filled` wants it."""
    rows = [
        PublicRow(
            place=f"{path}:{row.line}",
            columns={name.strip().casefold(): text_of(value) for name, value in (row.fields or {}).items()},
        )
        for row in rows_of(path)
    ]
    if not rows:
        raise InputError(f"{path} has no rows", cure=f"give the published file of {family}")
    for row in rows:
        for column in needed:
            if column not in row.columns:
                raise InputError(
                    f"{row.place}: the column {column!r} is missing; it has {', '.join(row.columns) or 'none'}",
                    cure=f"{family} reads the published file, with {', '.join(needed)}",
                )
        for column in filled:
            if not row[column].strip():
                raise InputError(
                    f"{row.place}: {column} is empty, so its case belongs to no group",
                    cure="name its group, or take the row out",
                )
    return rows


def text_of(value: object) -> str:
    """A cell as text; nothing for null."""
    return "" if value is None else str(value)


def asked(question: str, text: str, *, plain: bool) -> tuple[Message, ...]:
    """The user's message: the text under a question, or alone."""
    return (Message(role="user", content=text if plain else f"{question}\n\n{text}"),)


def groups_of(row: PublicRow, **columns: str) -> dict[str, str]:
    """Dimension → what its column says; a dimension is left out where the column is empty, `-` or `None`."""
    found = {dimension: row[column].strip() for dimension, column in columns.items()}
    return {dimension: value for dimension, value in found.items() if value not in ("", "-", "None")}


def whole_suite(name: str, kind: str, items: Sequence[Item], path: Path) -> Suite:
    """The suite; InputError where two cases have one id."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(f"{path}: two cases have the id {item.id!r}", cure="give each its own")
        seen.add(item.id)
    return Suite(name=name, kind=kind, items=tuple(items))
