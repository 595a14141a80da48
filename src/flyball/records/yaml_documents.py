"""YAML documents as people write them: bounded in size, also after aliases, and each key once. Pure."""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_YAML_BYTES = 1_000_000
MAX_YAML_VALUES = 100_000
"""Values after aliases are written out: nine aliases nested nine deep stand for more than a machine holds."""
ENDLESS = 1_000_000_000


def load_yaml(text: str, *, times: int = 1) -> Any:
    """A YAML document of a size that somebody wrote by hand; yaml.YAMLError for a larger one.

    What programs write may be so many `times` larger.
    """
    most = times * MAX_YAML_BYTES
    if len(text) > most:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than {most:,}")
    loader = OnceOnly(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        count = _values_in(node, {})
        if count > times * MAX_YAML_VALUES:
            raise yaml.YAMLError(f"it stands for more than {times * MAX_YAML_VALUES:,} values, its aliases written out")
        return loader.construct_document(node)
    except ValueError as error:
        raise yaml.YAMLError(f"a value in it is none: {error}") from error  # the 30th of February
    finally:
        loader.dispose()


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds when each alias is written out; far more than allowed is told as just that."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = ENDLESS  # a node within itself never ends
    count = 1
    if isinstance(node, yaml.MappingNode):
        count += sum(_values_in(key, known) + _values_in(value, known) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_values_in(value, known) for value in node.value)
    known[id(node)] = min(count, ENDLESS)
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


OnceOnly.add_implicit_resolver(  # numbers as in YAML 1.2, and so in DVC: YAML 1.1 takes 1e-4 for text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
