"""Every setting of a configuration file: its name, type, allowed values, default and description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from flyball.rollout.config import GateConfig
from flyball.settings import Settings
from flyball.standalone.config import StandaloneConfig
from generation.markdown import cell, code, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of a file."""

    path: str
    kind: str
    default: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The keys of one struct, where it first occurs."""

    path: str
    tag: str  # key and value that tell it from the other sections that may stand there; empty where there are none
    description: str
    settings: tuple[Setting, ...]


def sections(root: type[msgspec.Struct]) -> Iterator[Section]:
    """The struct's own keys, then those of each struct within it; one that occurs again is described once."""
    yield from _sections("", root, set())


def _sections(path: str, struct: type[msgspec.Struct], seen: set[type]) -> Iterator[Section]:
    seen.add(struct)
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    inner: list[tuple[str, type[msgspec.Struct]]] = []
    settings = []
    tag = f"{info.tag_field}: {info.tag}" if info.tag_field else ""
    if info.tag_field:
        told = Setting(path=f"{path}.{info.tag_field}", kind=code(info.tag), default="", description="Which engine.")
        settings.append(told)
    for field in info.fields:
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        found = list(_structs(here, field.type))
        inner += found
        settings.append(
            Setting(
                path=here,
                kind=_kind(field.type),
                default=_default(field),
                description=_description(field.type) or " ".join(_words(kind) for _, kind in found),
            )
        )
    yield Section(path=path, tag=tag, description=_words(struct), settings=tuple(settings))
    for where, kind in inner:
        if kind not in seen:
            yield from _sections(where, kind, seen)


def _words(struct: type) -> str:
    return " ".join((struct.__doc__ or "").split())


def _structs(path: str, kind: inspect.Type) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    match kind:
        case inspect.StructType():
            yield path, kind.cls
        case inspect.Metadata():
            yield from _structs(path, kind.type)
        case inspect.UnionType():
            for one in kind.types:
                yield from _structs(path, one)
        case inspect.VarTupleType() | inspect.ListType():
            yield from _structs(f"{path}[]", kind.item_type)
        case inspect.DictType():
            yield from _structs(f"{path}.NAME", kind.value_type)


def _description(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            said = (kind.extra_json_schema or {}).get("description", "")
            return str(said) or _description(kind.type)
        case inspect.UnionType():
            return " ".join(filter(None, map(_description, kind.types)))
        case _:
            return ""


def _kind(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _kind(kind.type)
        case inspect.UnionType():
            return ", or ".join(dict.fromkeys(_kind(one) for one in kind.types))
        case inspect.LiteralType():
            return ", ".join(code(value) for value in kind.values)
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.NoneType():
            return "`null`"
        case inspect.IntType() | inspect.FloatType():
            return ("whole number" if isinstance(kind, inspect.IntType) else "number") + _range(kind)
        case inspect.StrType():
            if kind.pattern:
                return f"text that matches {code(kind.pattern)}"
            return "text"
        case inspect.VarTupleType() | inspect.ListType():
            least = ", not empty" if kind.min_length else ""
            return f"list of ({_kind(kind.item_type)}){least}"
        case inspect.TupleType():
            return f"[{', '.join(_kind(one) for one in kind.item_types)}]"
        case inspect.DictType():
            return f"mapping of ({_kind(kind.key_type)}) to ({_kind(kind.value_type)})"
        case inspect.StructType():
            return "section"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    signs = (("≥", kind.ge), (">", kind.gt), ("≤", kind.le), ("<", kind.lt))
    bounds = [f"{sign} {bound:g}" for sign, bound in signs if bound is not None]
    return f", {', '.join(bounds)}" if bounds else ""


def _default(field: inspect.Field) -> str:
    value: Any = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
        if isinstance(value, msgspec.Struct):
            return ""
    if value is msgspec.NODEFAULT:
        return "required"
    return code(msgspec.json.encode(_plain(value)).decode())


def _plain(value: Any) -> Any:
    """As somebody would write it: keys that are null are left out."""
    found = msgspec.to_builtins(value)
    if isinstance(found, list | tuple):
        return [_plain(one) for one in found]
    if isinstance(found, dict):
        return {key: _plain(one) for key, one in found.items() if one is not None}
    return found


def page(title: str, introduction: str, root: type[msgspec.Struct]) -> str:
    """A file's settings, a table for each section."""
    parts = [f"# {title}\n\n{introduction}\n"]
    for section in sections(root):
        heading = f"`{section.path}`" if section.path else "The file itself"
        heading += f", `{section.tag}`" if section.tag else ""
        rows = [
            (code(one.path.removeprefix(section.path).removeprefix(".")), one.kind, one.default, cell(one.description))
            for one in section.settings
        ]
        parts.append(f"## {heading}\n\n{section.description}\n\n" + table(("key", "values", "default", "what"), rows))
    return "\n".join(parts)


def settings_page() -> str:
    """flyball.yaml."""
    return page(
        "Settings: flyball.yaml",
        "The whole loop of a project. `flyball schema` prints the same as a JSON Schema, for editors. Flyball refuses "
        "keys that are not listed here.",
        Settings,
    )


def gateway_file_page() -> str:
    """The file of `flyball gateway --config`."""
    return page(
        "Settings: the gateway's file",
        "What `flyball gateway --config FILE` reads ([how to use it](../how-to/gateway.md)).",
        StandaloneConfig,
    )


def gate_file_page() -> str:
    """The file of `flyball evaluate --gate`."""
    return page(
        "Settings: the gate's file",
        "What `flyball evaluate URL --gate FILE` reads ([how to use it](../how-to/evaluate.md)). Here a rule may leave "
        "`suite` out: it is then about each suite that has its measure.",
        GateConfig,
    )
