"""A YAML document is read as people write them, and refused before it fills the memory."""

from __future__ import annotations

import time

import pytest
import yaml

from flyball.records.yaml_documents import MAX_YAML_BYTES, load_yaml


def nested(depth: int) -> str:
    """Lists of nine aliases each, so many deep."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join([*lines, f"data: {{labels: *a{depth - 1}}}"])


def test_aliases_nested_nine_deep_are_refused_at_once() -> None:
    began = time.process_time()
    with pytest.raises(yaml.YAMLError, match="more than 100,000 values"):
        load_yaml(nested(9))
    assert time.process_time() - began < 1


def test_an_alias_within_itself_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="more than"):
        load_yaml("a: &a [*a]")


def test_aliases_and_merges_of_a_sane_size_work() -> None:
    assert load_yaml("base: &b {x: 1}\none: {<<: *b, y: 2}\ntwo: *b") == {
        "base": {"x": 1},
        "one": {"x": 1, "y": 2},
        "two": {"x": 1},
    }
    assert load_yaml("") is None


def test_a_huge_document_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="characters"):
        load_yaml("a: " + "x" * MAX_YAML_BYTES)


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="given twice"):
        load_yaml("a: 1\na: 2")


def test_what_programs_write_may_be_larger_but_not_endless() -> None:
    assert len(load_yaml("a: " + "x" * MAX_YAML_BYTES, times=2)["a"]) == MAX_YAML_BYTES
    with pytest.raises(yaml.YAMLError, match="more than 200,000 values"):
        load_yaml(nested(9), times=2)


def test_a_day_that_no_calendar_has_is_no_value() -> None:
    with pytest.raises(yaml.YAMLError, match="day"):
        load_yaml("a: 2026-02-30")
