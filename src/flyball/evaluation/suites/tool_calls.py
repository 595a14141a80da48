"""Cases whose answer is calls of tools, or none: `tool_calls:FILE`, JSON lines. I/O: reads the file.

Own rows: `messages` (or `text`, …), `tools` as in the OpenAI API, `expected`: [{"name", "arguments"}], empty where no
call is right. Rows like those of the Berkeley Function Calling Leaderboard (Patil et al. 2025): `question` with turns,
of which one is asked, `function`, and `ground_truth`: [{name: {argument: [values that are right]}}], where "" among the
values means that the argument may be left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flyball.errors import InputError
from flyball.evaluation.measures.json_schema import schema_problem
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.layouts import messages_in
from flyball.evaluation.suites.public_rows import whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import canonical_json

SHAPE: Final = (
    'each row has {"messages": […], "tools": [{"type": "function", "function": {"name": …, "parameters": …}}], '
    '"expected": [{"name": …, "arguments": {…}}]}, or question, function and ground_truth'
)
TYPES: Final = {"dict": "object", "float": "number", "tuple": "array", "any": None}
"""Types of the leaderboard that JSON Schema calls otherwise; None: any."""


def load(path: Path, name: str) -> Suite:
    """Every row as a case; InputError names the first that is none."""
    items: dict[str, Item] = {}
    for row in rows_of(path):
        try:
            item = item_of(row.fields or {})
        except (ValueError, InputError) as error:
            why = error.message if isinstance(error, InputError) else str(error)
            raise InputError(f"{path}:{row.line}: {why}", cure=SHAPE) from error
        items[item.id] = item
    return whole_suite(name, "tool_calls", list(items.values()), path)


def item_of(fields: Mapping[str, Any]) -> Item:
    """One case; ValueError says what lacks."""
    columns = ("messages", "text", "prompt", "question", "input")
    column = next((name for name in columns if name in fields), None)
    if column is None:
        raise ValueError(f"none of its columns asks: {', '.join(fields)}")
    asked = fields[column]
    if isinstance(asked, list) and asked and isinstance(asked[0], list):  # turns of the leaderboard
        if len(asked) > 1:
            raise ValueError(f"{column} has {len(asked)} turns, and only cases of one are asked")
        asked = asked[0]
    messages = messages_in(asked, column)
    tools = tools_in(fields)
    calls = calls_in(fields, {tool["function"]["name"] for tool in tools})
    slice_name = fields.get("slice") or fields.get("category")
    return Item(
        id=hashlib.sha256(canonical_json([messages, tools, calls])).hexdigest()[:32],
        messages=messages,
        slice=None if slice_name is None else str(slice_name),
        request={"tools": tools},
        data={"calls": calls},
    )


def tools_in(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools as the OpenAI API takes them; ValueError for one without a name or with a wrong schema."""
    given = fields.get("tools", fields.get("function"))
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not given:
        raise ValueError("tools are missing")
    found = []
    for tool in given:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError("a tool has no name")
        parameters = json_types(function.get("parameters") or {"type": "object"})
        if problem := schema_problem(parameters):
            raise ValueError(f"the parameters of {function['name']} are no JSON Schema: {problem}")
        found.append({"type": "function", "function": {**function, "parameters": parameters}})
    return found


def json_types(schema: Any) -> Any:
    """A schema with the types of JSON Schema."""
    if isinstance(schema, list):
        return [json_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: json_types(part) for name, part in schema.items()}
    kind = found.get("type")
    if isinstance(kind, str) and kind in TYPES:
        found.pop("type")
        if (better := TYPES[kind]) is not None:
            found["type"] = better
    return found


def calls_in(fields: Mapping[str, Any], known: set[str]) -> list[dict[str, Any]]:
    """The expected calls, each argument with the values that are right; ValueError for a tool that is not given."""
    own = fields.get("expected")
    if own is None and fields.get("ground_truth") is None:
        raise ValueError("expected is missing; give [] where no call is right")
    found = []
    for call in own if own is not None else fields["ground_truth"]:
        if not isinstance(call, dict):
            raise ValueError("an expected call is no object")
        if own is not None:
            name, arguments = call.get("name"), call.get("arguments") or {}
            values = {key: [value] for key, value in arguments.items()}
        else:
            ((name, values),) = call.items()
        if name not in known:
            raise ValueError(f"a call of {name!r} is expected, which is none of the tools {', '.join(sorted(known))}")
        found.append({"name": name, "arguments": values, "loose": own is None})
    return found


FAMILY = SuiteFamily(name="tool_calls", kind="tool_calls", load=load, about="Calls of tools, or none, as expected.")
