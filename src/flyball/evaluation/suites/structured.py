"""Cases whose answer must be JSON of a schema: `structured:FILE`. I/O: reads the file.

Any layout of files.py, and in each row `schema`: a JSON Schema, as an object or as text. What is expected may be left
out: then the answer must only be valid.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from flyball.errors import InputError
from flyball.evaluation.measures.json_schema import schema_problem
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.layouts import answer_in, messages_in
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import canonical_json

SHAPE: Final = 'each row has {"text": …, "schema": {"type": "object", …}} and, if you like, "expected": "{…}"'


def load(path: Path, name: str) -> Suite:
    """Every row as a case; InputError names the first without a schema or with a wrong one."""
    items: dict[str, Item] = {}
    for row in rows_of(path):
        fields = row.fields or {}
        try:
            item = item_of(fields)
        except ValueError as error:
            raise InputError(f"{path}:{row.line}: {error}", cure=SHAPE) from error
        items[item.id] = item
    return Suite(name=name, kind="structured", items=tuple(items.values()))


def item_of(fields: dict[str, Any]) -> Item:
    """One case; ValueError says what lacks."""
    question = next(
        (column for column in ("messages", "text", "prompt", "question", "input") if column in fields), None
    )
    if question is None:
        raise ValueError(f"none of its columns asks: {', '.join(fields)}")
    schema = fields.get("schema")
    if isinstance(schema, str):
        try:
            schema = msgspec.json.decode(schema)
        except msgspec.DecodeError as error:
            raise ValueError(f"schema is no JSON: {error}") from error
    if not isinstance(schema, dict):
        raise ValueError("schema is missing or no object")
    if problem := schema_problem(schema):
        raise ValueError(f"schema is no JSON Schema: {problem}")
    messages = messages_in(fields[question], question)
    wanted = fields.get("expected")
    if isinstance(wanted, dict):
        wanted = msgspec.json.encode(wanted).decode()
    expected = None if wanted is None else answer_in(wanted, "expected")[0]
    return Item(
        id=hashlib.sha256(canonical_json([messages, schema, expected])).hexdigest()[:32],
        messages=messages,
        expected=expected,
        data={"schema": schema},
    )


FAMILY = SuiteFamily(name="structured", kind="structured", load=load, about="Answers that must be JSON of a schema.")
