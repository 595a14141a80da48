"""The suite `test`: the held-out rows of a dataset. I/O: reads them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.evaluation.suites.suite import Item
from flyball.records import Message


def test_items(dataset_dir: Path) -> tuple[Item, ...]:
    """The held-out rows that have an expected answer; all of them where none has one: then they are only asked."""
    from flyball.data.rows import read_rows  # pyarrow loads with the rows; files and URLs do without it

    items = tuple(
        Item(id=row.row_id, messages=messages_of(row.text, row.turns), expected=row.label)
        for row in read_rows(dataset_dir, "test")
    )
    return tuple(item for item in items if item.expected is not None) or items


def messages_of(text: str, turns: str | None) -> tuple[Message, ...]:
    """What a row asks: its turns, else its text."""
    if turns is None:
        return (Message(role="user", content=text),)
    return tuple(msgspec.json.decode(turns, type=list[Message]))
