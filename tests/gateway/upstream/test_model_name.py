"""Only the answer's own model gets the route's name; every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.upstream import model_name
from flyball.gateway.upstream.model_name import renamed

NAMES = st.text(min_size=1, max_size=8).filter(lambda name: not any(0xD800 <= ord(c) <= 0xDFFF for c in name))
REST = st.recursive(
    st.text(max_size=6) | st.integers() | st.sampled_from(['"model":"m"', "model", "m"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "a", "choices"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    found=NAMES | st.just("m"), rest=REST, first=st.booleans(), indent=st.sampled_from([None, 1]), ascii=st.booleans()
)
def test_the_model_on_top_is_renamed_and_nothing_else(
    found: str, rest: Any, first: bool, indent: int | None, ascii: bool
) -> None:
    body = {"model": found, "rest": rest} if first else {"rest": rest, "model": found}
    data = json.dumps(body, indent=indent, ensure_ascii=ascii).encode()
    assert json.loads(renamed(data, found, "shop")) == {**body, "model": "shop"}


@pytest.mark.parametrize(
    "data",
    [b'{"a": {"model": "m"}}', b'["model", "m"]', b'{"a": "model", "b": "m"}', b'{"model": "other"}', b"{", b""],
)
def test_where_there_is_none_on_top_nothing_is_touched_but_a_lone_one(data: bytes) -> None:
    out = renamed(data, "m", "shop")
    assert out == data or out.count(b"shop") == 1


def test_slashes_and_spaces_do_not_hide_it() -> None:
    assert renamed(b'{"model" : "a\\/b"}', "a/b", "shop") == b'{"model" : "shop"}'


def test_endless_names_of_models_are_not_kept() -> None:
    before = model_name._names.cache_info().currsize
    name = "n" * 100_000
    assert renamed(b'{"model": "%b"}' % name.encode(), name, "shop") == b'{"model":"shop"}'
    assert model_name._names.cache_info().currsize == before
