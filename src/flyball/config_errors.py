"""What is wrong in a configuration, as an error that names the key, its value and what is allowed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from flyball.errors import ConfigError, nearest

ABSENT = object()
LONGEST_VALUE = 60
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a section of keys",
    "array": "a list",
    "null": "null",
}


def explain(error: msgspec.ValidationError, source: str, kind: type, document: Any) -> ConfigError:
    """A msgspec error about `document`, which should have been a `kind`, as a message with its cure."""
    if "at `key` in `" in str(error):
        return ConfigError(f"{source}: a key is not text, but a number, a date or a truth", cure="put quotes around it")
    text, _, place = str(error).partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    if found := re.fullmatch(r"Object contains unknown field `(.+)`", text, re.DOTALL):
        return unknown_key(source, kind, path, found[1], document)
    if found := re.fullmatch(r"Object missing required field `(.+)`", text):
        where = joined(path, found[1])
        return ConfigError(f"{source}: the key {where} is missing", cure=f"add {where}: …; see `flyball schema`")
    value = shown(value_at(document, path))
    allowed = literals(kind_at(kind, path, document))
    if allowed:
        close = nearest(str(value_at(document, path)), allowed)
        cure = f"did you mean {close}?" if close else f"give one of {', '.join(allowed)}"
        return ConfigError(f"{source}: {path} is {value}, not one of {', '.join(allowed)}", cure=cure)
    wanted = in_words(text)
    return ConfigError(f"{source}: {path} is {value}, but should be {wanted}", cure=f"set {path} to {wanted}")


def unknown_key(source: str, kind: type, path: str, key: str, document: Any = ABSENT) -> ConfigError:
    """The error for a key that is not known, with the nearest one that is, or with the kind of section that has it."""
    place, here = kind_at(kind, path, document), value_at(document, path)
    for other in structs_in(place):
        tag = other.__struct_config__
        if tag.tag_field and key in other.__struct_fields__:
            named = joined(path, tag.tag_field)
            return ConfigError(
                f"{source}: {joined(path, key)} is for {tag.tag_field} {tag.tag}, {named} is {here[tag.tag_field]}",
                cure=f"leave it out, or set {named}: {tag.tag}",
            )
    known = sorted(keys_of(struct_in(place, here)))
    close = nearest(key, known)
    cure = f"did you mean {joined(path, close)}?" if close else f"known keys here: {', '.join(known)}"
    return ConfigError(f"{source}: unknown key {joined(path, key)}", cure=cure)


def joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def in_words(text: str) -> str:
    """What msgspec expected, without its notation."""
    wanted = re.sub(r", got `.*?`$", "", text).removeprefix("Expected ")
    wanted = re.sub(r"`([^`]+)`", lambda match: " or ".join(TYPES.get(w, w) for w in match[1].split(" | ")), wanted)
    return wanted.replace("matching regex", "that matches").replace("of length >= 1", "that is not empty")


def shown(value: Any) -> str:
    """A value of the document for a message."""
    text = "not there" if value is ABSENT else "null" if value is None else repr(value)
    text = text if isinstance(value, str | int | float | list | dict) or value in (ABSENT, None) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def parts(path: str) -> Iterator[str]:
    """The keys and positions in a path such as `data.sources[0].path`; `[...]` is any key of a section."""
    yield from re.findall(r"\[\.\.\.\]|[^.\[\]]+", path)


def value_at(document: Any, path: str) -> Any:
    """What the document has at a path; ABSENT when msgspec's path cannot be followed."""
    for part in parts(path):
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return ABSENT
    return document


def kind_at(kind: Any, path: str, document: Any = ABSENT) -> Any:
    """The type that belongs at a path; of sections told apart by a tag the one whose tag the document has."""
    for part in parts(path):
        struct = struct_in(kind, document)
        document = value_at(document, part)
        if struct is not None and part == struct.__struct_config__.tag_field:
            kind = Literal[tuple(str(one.__struct_config__.tag) for one in structs_in(kind))]
        elif struct is not None:
            kind = get_type_hints(struct, include_extras=True).get(part, Any)
        elif get_origin(bare(kind)) is dict:
            kind = get_args(bare(kind))[-1]
        else:
            kind = next((arg for arg in get_args(bare(kind)) if arg is not Ellipsis), Any)
            if part.isdigit() and struct_in(kind) is None and get_origin(bare(kind)) in (list, tuple):
                kind = next((arg for arg in get_args(bare(kind)) if arg is not Ellipsis), Any)
    return kind


def keys_of(struct: type[msgspec.Struct] | None) -> list[str]:
    """The known keys of a section."""
    if struct is None:
        return []
    tag = struct.__struct_config__.tag_field
    return [*([tag] if tag else []), *struct.__struct_fields__]


def bare(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def structs_in(kind: Any) -> list[type[msgspec.Struct]]:
    """The sections that a type may stand for."""
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    if get_origin(kind) in (list, tuple, dict, Literal):
        return []
    return [found for arg in get_args(kind) for found in structs_in(arg)]


def struct_in(kind: Any, document: Any = ABSENT) -> type[msgspec.Struct] | None:
    """The section that a type stands for, if it is one or may be one: of several the one whose tag `document` has."""
    found = structs_in(kind)
    for one in found:
        tag = one.__struct_config__
        if isinstance(document, dict) and tag.tag_field and document.get(tag.tag_field) == tag.tag:
            return one
    return found[0] if found else None


def literals(kind: Any) -> list[str]:
    """The values that are allowed where only some are."""
    kind = bare(kind)
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [] if get_origin(kind) in (list, tuple, dict) else [v for arg in get_args(kind) for v in literals(arg)]
