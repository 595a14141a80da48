"""The suites `test` and `validation`: held-out rows of a dataset. I/O: reads them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.evaluation.suites.suite import Item
from flyball.records import Message


def row_items(dataset_dir: Path, split: str) -> tuple[Item, ...]:
    """The rows of one side that have an expected answer; all of them where none has one: then they are only asked."""
    from flyball.data.rows import read_rows  # pyarrow loads with the rows; files and URLs do without it

    items = tuple(
        item_of(row.row_id, messages_of(row.text, row.turns), expected=row.label)
        for row in read_rows(dataset_dir, split)
    )
    return tuple(item for item in items if item.expected is not None) or items


def item_of(name: str, messages: tuple[Message, ...], *, expected: str | None) -> Item:
    """The case of a row; of one that holds questions alone, those after the first follow on the model's own answers."""
    first = next((at for at, message in enumerate(messages) if message.role == "user"), len(messages))
    later = messages[first + 1 :]
    if expected is not None or any(message.role != "user" for message in later):
        return Item(id=name, messages=messages, expected=expected)
    return Item(id=name, messages=messages[: first + 1], follow_ups=tuple(message.content for message in later))


def messages_of(text: str, turns: str | None) -> tuple[Message, ...]:
    """What a row asks: its turns, else its text."""
    if turns is None:
        return (Message(role="user", content=text),)
    return tuple(msgspec.json.decode(turns, type=list[Message]))


def noted(items: tuple[Item, ...]) -> tuple[str, ...]:
    """What a reader of the scores should know of these cases."""
    following = sum(bool(item.follow_ups) for item in items)
    return (
        (f"test: {following} cases ask on after the model's own answer; the last answer counts",) if following else ()
    )
