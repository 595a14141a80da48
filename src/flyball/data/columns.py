"""A column of a row, by name, by a path into it, or by a template of several. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLACE = re.compile(r"\{([^{}]+)\}")


def columns_in(name: str) -> list[str]:
    """The columns that a name stands for: those of its template, else itself."""
    return _PLACE.findall(name) or [name]


def value_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a column; `choices.0.text` leads into lists and objects where no column is called so."""
    if name in fields:
        return fields[name]
    found: Any = fields
    for part in name.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, Sequence) and not isinstance(found, str) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def holds(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a row has what a name stands for: of a template, one column at least."""
    if name in fields:
        return True
    return any(column in fields or value_of(fields, column) is not None for column in columns_in(name))


def text_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or the text of a template such as `{instruction}\\n\\n{input}`, empty parts left out."""
    if name in fields or not _PLACE.search(name):
        return value_of(fields, name)

    def part(match: re.Match[str]) -> str:
        return written(value_of(fields, match[1]))

    text = _PLACE.sub(part, name)
    return re.sub(r"\n{3,}", "\n\n", text).strip() if text.strip() else None


def written(value: Any) -> str:
    """A value inside a text: of an object its values, one a line, without the empty ones; a list as JSON."""
    if isinstance(value, Mapping):
        return "\n".join(line for one in value.values() if (line := written(one)))
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str) if value else ""
    return "" if value is None else str(value)
