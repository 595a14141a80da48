"""A user's own suite: JSONL of {"text", "label"} or {"messages", "expected"}. I/O: reads the file (gzip too)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.suites.suite import Item
from flyball.inference.labels import label_text
from flyball.records import Message, canonical_json

SHAPE = 'each line is {"text": …, "label": …} or {"messages": […], "expected": …}'
Case = tuple[tuple[Message, ...], str]


def read_cases(path: Path) -> Iterator[Case]:
    """(messages, expected) for each line; InputError names the first line that is none."""
    if not path.is_file():
        raise NotFoundError(f"no suite {path}", cure="name `test`, `invariance` or a JSONL file that exists")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = raw.decode("utf-8-sig").split("\n")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}", cure="save it as UTF-8 JSON Lines") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parse_case(msgspec.json.decode(line))
            except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}:{number}: {explain(error)}", cure=SHAPE) from error


def parse_case(document: Any) -> Case:
    """(messages, expected) in one line's JSON."""
    if "messages" in document:
        messages = msgspec.convert(document["messages"], tuple[Message, ...])
        expected = document["expected"]
    else:
        text = document["text"]
        if not isinstance(text, str):
            raise ValueError("text is not a string")
        messages, expected = (Message(role="user", content=text),), document["label"]
    if not messages or messages[-1].role != "user":
        raise ValueError("the last message must be the user's")
    answer = label_text(expected)
    if answer is None:
        raise ValueError(f"the expected answer is {'missing' if expected is None else 'no text or number'}")
    return messages, answer


def explain(error: Exception) -> str:
    """What is wrong with a line, in a few words."""
    return f"the key {error} is missing" if isinstance(error, KeyError) else str(error)


def file_items(path: Path) -> tuple[Item, ...]:
    """The cases of a JSONL file; each is named by the hash of what it asks and expects."""
    items: dict[str, Item] = {}
    for messages, expected in read_cases(path):
        name = hashlib.sha256(canonical_json([messages, expected])).hexdigest()[:32]
        items[name] = Item(id=name, messages=messages, expected=expected)
    return tuple(items.values())
