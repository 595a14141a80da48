"""Every record with its fields, and the parts that its fields are made of."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass

from flyball.records import KINDS, Transition
from generation.markdown import cell, code, table

PLAIN: dict[object, str] = {
    typing.Any: "JSON",
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a record."""

    name: str
    kind: str
    default: str
    description: str


def record_types() -> Iterator[type]:
    """The records, then the parts that they hold, each once."""
    found = [*KINDS.values(), Transition]
    for kind in found:
        for hint in typing.get_type_hints(kind).values():
            found += [part for part in _parts(hint) if part not in found]
    yield from found


def _parts(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from _parts(argument)


def fields(kind: type) -> Iterator[Field]:
    """The fields of a record; the description is the docstring under each."""
    body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]).body
    described = {
        field.target.id: after.value.value
        for field, after in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
    }
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        yield Field(
            name=field.name,
            kind=_kind(hints[field.name]),
            default="required" if needed else code(field.default),
            description=described.get(field.name, ""),
        )


def _kind(hint: object) -> str:
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(code(one) for one in arguments)
    if typing.get_origin(hint) is tuple:
        return f"list of {_kind(arguments[0])}"
    if typing.get_origin(hint) is not None and "Mapping" in str(typing.get_origin(hint)):
        return f"mapping of {_kind(arguments[0])} to {_kind(arguments[1])}"
    return " or ".join(_kind(one) for one in arguments)


def records_page() -> str:
    """The page of all records."""
    parts = [
        "# Records\n\nThe ledger keeps eleven records. Each has one writer and is never changed; "
        "[Architecture](../../ARCHITECTURE.md) says how they make the loop. The other types on this page are parts of "
        "records.\n"
    ]
    for kind in record_types():
        rows = [(code(one.name), one.kind, one.default, cell(one.description)) for one in fields(kind)]
        said = inspect.getdoc(kind) or ""
        parts.append(f"## {kind.__name__}\n\n{said}\n\n" + table(("field", "type", "default", "what"), rows))
    return "\n".join(parts)
