"""One rule says how long texts may be, in training and in production."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flyball.inference.preparation import cut
from flyball.inference.prompt_path import PromptPath
from flyball.records import Preparation
from flyball.training.config import TrainConfig
from flyball.training.conversations import Head
from flyball.training.examples import Example, LabelledText, make_examples
from flyball.training.learner import from_scratch
from flyball.training.text_lengths import context_for, most_characters, room_for
from small_models import make_row
from tiny_gguf import tiny_release


def letters(row: LabelledText, most: int | None) -> Example:
    text = cut(row.text, most)
    ids = (1, *(ord(letter) for letter in text), 2)
    return Example((*ids, 7), ((len(ids), len(ids) + 1),), shortened=text != row.text)


def most(rows, context=50):
    return most_characters(rows, render=letters, context=context)


@pytest.mark.parametrize(
    ("lengths", "context"),
    [([10] * 1000, 256), ([300] * 1000, 320), ([10] * 996 + [900] * 4, 256), ([10] * 994 + [900] * 6, 960), ([], 256)],
)
def test_the_context_fits_all_but_one_in_two_hundred_rows(lengths, context):
    assert context_for(lengths) == context


def test_nobody_pays_for_an_endless_context():
    assert context_for([100_000] * 10) == 2048


@pytest.mark.parametrize(("context", "room"), [(256, 1536), (320, 1920), (1024, 4096), (2048, 4096), (8192, 8192)])
def test_a_model_reads_more_than_texts_are_cut_to(context, room):
    assert room_for(context) == room


def test_texts_far_denser_than_those_learned_from_fit_the_model_once_they_are_cut():
    rows = [make_row(f"the parcel number {n % 7} has not arrived at my house yet " * 6, "a", n) for n in range(60)]
    learner = from_scratch(TrainConfig(), rows, ["a"], Head())
    limit = most_characters(rows, render=learner.render, context=learner.context)
    dense = make_row("".join(chr(33 + (n * 37 + n // 7) % 94) for n in range(5000)), "a")
    made = learner.render(dense, limit)
    assert isinstance(made, Example) and learner.context < len(made.ids) <= room_for(learner.context)


def test_rows_that_do_not_fit_say_where_texts_are_cut():
    assert most([make_row("x" * 10, "a"), *(make_row("y" * 80, "a") for _ in range(3))]) == 47


def test_where_all_fit_longer_texts_of_the_same_kind_would():
    assert 35 <= most([make_row("x" * 10, "a"), make_row("y" * 20, "b")]) <= 47


def test_one_dense_row_in_a_hundred_does_not_shorten_the_others():
    def dense(row: LabelledText, most: int | None) -> Example:
        text = cut(row.text, most)
        ids = (1,) * len(text) * (10 if "z" in text else 1)
        return Example((*ids, 7), ((len(ids), len(ids) + 1),), shortened=text != row.text)

    rows = [make_row("z" * 80, "a"), *(make_row("y" * 80, "a") for _ in range(99))]
    limit = most_characters(rows, render=dense, context=50)
    made = make_examples(rows, render=dense, context=50, most=limit)
    assert (limit, made.truncated, made.too_long) == (49, 99, 1)


@pytest.mark.parametrize("text", ["word " * 100, "mail jo@example.org now " * 30, "größe " * 99, "x" * 45, "short"])
def test_a_request_is_cut_where_training_cut_its_row(text):
    prepared = Preparation(version=1, steps=("encoding", "characters", "whitespace"), max_characters=47)
    path = PromptPath(replace(tiny_release(), input_redaction="default", preparation=prepared))
    whole = PromptPath(replace(path.release, preparation=replace(prepared, max_characters=None)))
    body = {"messages": [{"role": "user", "content": text}]}
    row = make_row(whole.engine_request(body).body["messages"][-1]["content"], "a")
    made = make_examples([row], render=letters, context=99, most=47)
    sent = path.engine_request(body).body["messages"][-1]["content"]
    assert made.items[0].ids[1:-2] == tuple(map(ord, sent))
    assert len(sent) <= 47
