"""Rows become examples; only answers are learned; batches waste little and never lose a row."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.training.batches import epoch_batches, padding_share
from flyball.training.collation import collate
from flyball.training.examples import Example, LabelledText, Refusal, make_examples, require_enough, targets_of
from flyball.training.objectives.supervised import without_words
from small_models import make_row


def letters(row: LabelledText, most: int | None, answer: int = 1) -> Example | Refusal:
    """One token per character, with one before and one after, then the answer."""
    if "refuse" in row.text:
        return Refusal("no such turns")
    text = row.text[:most]
    ids = (1, *map(ord, text), 2)
    return Example((*ids, *[7] * answer), ((len(ids), len(ids) + answer),), shortened=text != row.text)


def examples(rows, most=100, context=100):
    return make_examples(rows, render=letters, most=most, context=context)


def test_only_the_answers_are_learned_and_each_position_predicts_the_next_token():
    batch = [Example((5, 6, 7, 8), ((2, 4),)), Example((5, 9, 3, 4), ((1, 2), (3, 4)))]
    positions, targets = targets_of(batch, 4)
    assert positions == [1, 2, 4, 6]
    assert targets == [7, 8, 9, 4]
    assert [example.targets for example in batch] == [2, 2]


def test_what_was_cut_is_counted():
    made = examples([make_row("abcdefgh", "x"), make_row("abc", "x")], context=6, most=3)
    assert made.truncated == 1
    assert {example.ids for example in made.items} == {(1, *map(ord, "abc"), 2, 7)}


def test_what_does_not_fit_all_the_same_is_left_out_and_counted():
    made = examples([make_row("abcdefgh", "x")], context=6, most=4)
    assert (made.items, made.too_long, made.truncated) == ((), 1, 0)


def test_what_the_template_refuses_is_left_out_and_counted_and_said_where_nothing_is_left():
    made = examples([make_row("refuse", "x"), make_row("abc", "x")])
    assert (len(made.items), made.refused) == (1, 1)
    with pytest.raises(InputError, match="renders none of 1 rows: no such turns"):
        require_enough(0, batch_size=1, refused=1, refusal="no such turns", none="no labels")


@given(lengths=st.lists(st.integers(1, 60), max_size=400), batch_size=st.integers(1, 40), epoch=st.integers(0, 3))
def test_every_full_batch_has_its_size_and_no_row_comes_twice_in_an_epoch(lengths, batch_size, epoch):
    batches = epoch_batches(lengths, batch_size=batch_size, seed=1, epoch=epoch)
    seen = Counter(index for batch in batches for index in batch)
    assert all(len(batch) == batch_size for batch in batches)
    assert set(seen.values()) <= {1}
    assert len(lengths) - len(seen) < batch_size
    assert batches == epoch_batches(lengths, batch_size=batch_size, seed=1, epoch=epoch)


def test_buckets_keep_padding_under_ten_percent():
    lengths = [8 + (number * 37) % 60 for number in range(4000)]
    batches = epoch_batches(lengths, batch_size=32, seed=1, epoch=0)
    assert padding_share(lengths, batches) < 0.1
    shuffled = [list(range(at, at + 32)) for at in range(0, 4000, 32)]
    assert padding_share(lengths, shuffled) > 0.3


def test_another_epoch_has_another_order():
    lengths = list(range(100))
    assert epoch_batches(lengths, batch_size=10, seed=1, epoch=0) != epoch_batches(
        lengths, batch_size=10, seed=1, epoch=1
    )


def test_dropped_words_are_of_the_prompt_only_and_of_the_share_asked_for():
    torch.manual_seed(1)
    batch = [Example((2, *range(10, 110), 1, 3, 50, 1), ((103, 105),))] * 200
    ids, _, _ = collate(batch)
    dropped = without_words(ids, batch, share=0.2, first_word=5)
    changed = dropped != ids
    assert set(dropped[changed].tolist()) == {0}
    assert not changed[:, 0].any() and not changed[:, 101:].any()
    assert changed[:, 1:101].float().mean().item() == pytest.approx(0.2, abs=0.01)
