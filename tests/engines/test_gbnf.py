"""Labels as a grammar: any label can be written, and a real engine accepts it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.engines.gbnf import labels_grammar
from flyball.errors import InputError


def unescaped(text: str) -> str:
    """What llama.cpp's grammar parser reads in a quoted string."""
    simple = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
    pattern = r"\\(?:U([0-9A-F]{8})|(.))"
    return re.sub(pattern, lambda found: chr(int(found[1], 16)) if found[1] else simple[found[2]], text, flags=re.S)


@given(labels=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5))
def test_every_label_can_be_read_back_from_the_grammar(labels):
    grammar = labels_grammar(tuple(labels))
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', grammar, flags=re.S)
    assert [unescaped(text) for text in found] == labels
    assert "\n" not in grammar


@pytest.mark.parametrize("labels", [(), ("a", "")])
def test_no_labels_or_an_empty_one_are_refused(labels):
    with pytest.raises(InputError, match="labels that are not empty"):
        labels_grammar(labels)
