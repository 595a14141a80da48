"""Values written into the text of a YAML file, all else in it left as it is, comments too. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from flyball.errors import ConfigError
from flyball.records.yaml_documents import load_yaml


def with_edits(text: str, values: Mapping[str, Any]) -> str:
    """The text with each value at its dotted path; ConfigError where the file's layout does not let it be written."""
    edited = text
    for path, value in values.items():
        edited = _with_one(edited, path.split("."), value)
    try:
        right = load_yaml(edited) == _wanted(load_yaml(text), values)
    except yaml.YAMLError:
        right = False
    if not right:
        lines = "\n".join(f"{path}: {flow(value)}" for path, value in values.items())
        raise ConfigError("flyball.yaml has a layout that cannot be edited here", cure=f"write it by hand:\n{lines}")
    return edited


def flow(value: Any) -> str:
    """A value on one line; JSON is YAML, but plain words need no quotes."""
    if isinstance(value, str) and value.replace("_", "").replace("-", "").replace(".", "").isalnum():
        try:
            if load_yaml(value) == value:
                return value
        except yaml.YAMLError:
            pass
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _wanted(document: Any, values: Mapping[str, Any]) -> Any:
    for path, value in values.items():
        *sections, key = path.split(".")
        place = document
        for section in sections:  # copied: an alias stands elsewhere too, where nothing may change
            inner = place.get(section)
            place[section] = dict(inner) if isinstance(inner, dict) else {}
            place = place[section]
        place[key] = value
    return document


def _with_one(text: str, keys: list[str], value: Any) -> str:
    """Replace the value where the key is there; else add the key to the innermost section that is."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, key in enumerate(keys):
        if not isinstance(node, yaml.MappingNode):
            break
        found = next((inner for name, inner in node.value if name.value == key), None)
        if found is None:
            return _added(text, node, key, _nested(keys[depth + 1 :], value))
        node = found
    else:
        depth = len(keys)
    return _replaced(text, node, _nested(keys[depth:], value))


def _nested(keys: list[str], value: Any) -> str:
    for key in reversed(keys):
        value = {key: value}
    return flow(value)


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    begin, end = node.start_mark.index, node.end_mark.index
    if begin == end:  # `key:` with nothing after it
        new = f" {new}"
    old = text[begin:end]
    kept = old[len(old.rstrip()) :]  # a block ends at the next key: its line breaks stay
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        before = text[:begin].rstrip()
        return before + " " + new + (kept or "\n") + text[end:]
    return text[:begin] + new + kept + text[end:]


def _added(text: str, node: yaml.MappingNode, key: str, new: str) -> str:
    if node.flow_style:
        end = node.end_mark.index - 1  # before the brace
        inside = text[node.start_mark.index + 1 : end].strip()
        return (
            text[:end].rstrip() + (", " if inside and not inside.endswith(",") else "") + f"{key}: {new}" + text[end:]
        )
    last = node.value[-1][1]
    at = last.end_mark.index if not isinstance(last, yaml.CollectionNode) or last.flow_style else _end_of(last)
    line_end = text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    indent = " " * node.value[0][0].start_mark.column
    return f"{text[:line_end]}\n{indent}{key}: {new}{text[line_end:] or chr(10)}"


def _end_of(node: yaml.Node) -> int:
    """Where the last scalar or flow collection within a block ends."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.index
