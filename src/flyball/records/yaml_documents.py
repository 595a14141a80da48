"""YAML documents as people write them: bounded in size, also after aliases, and each key once. Pure."""

from __future__ import annotations

from typing import Any

import yaml

MAX_YAML_BYTES = 1_000_000
MAX_YAML_VALUES = 100_000
"""Values after aliases are written out: nine aliases nested nine deep stand for more than a machine holds."""


def load_yaml(text: str) -> Any:
    """A YAML document of a size that somebody wrote by hand; yaml.YAMLError for a larger one."""
    if len(text) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than {MAX_YAML_BYTES:,}")
    loader = OnceOnly(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        count = _values_in(node, {})
        if count > MAX_YAML_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MAX_YAML_VALUES:,} values: write them out")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds when each alias is written out; more than allowed is told as just that."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MAX_YAML_VALUES + 1  # a node within itself never ends
    count = 1
    if isinstance(node, yaml.MappingNode):
        count += sum(_values_in(key, known) + _values_in(value, known) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_values_in(value, known) for value in node.value)
    known[id(node)] = min(count, MAX_YAML_VALUES + 1)
    return known[id(node)]


class OnceOnly(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML that refuses a key given twice, of which readers otherwise keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return dict(super().construct_mapping(node, deep=deep))
