"""Plain texts are packed without padding, every token is learned once; from scratch, on a base, with adapters."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.records import DatasetVersion, TrainingRun
from flyball.telemetry import quiet
from flyball.training.config import LoraConfig, TrainConfig
from flyball.training.objectives.text import packed
from flyball.training.training_run import train
from small_models import RECIPE, make_row, write_dataset

PLAIN = msgspec.structs.replace(RECIPE, objective="text", steps=40, batch_size=8)
VERSES = ("the owl and the pussycat went to sea", "in a beautiful pea green boat", "they took some honey and plenty")


@given(length=st.integers(0, 200), context=st.integers(2, 40))
def test_every_token_but_the_first_is_learned_once_and_nothing_is_padded(length: int, context: int) -> None:
    tokens = array("i", range(length))
    sequences = list(packed(tokens, context))
    learned = Counter(one.ids[place] for one in sequences for begin, end in one.learned for place in range(begin, end))
    assert learned == Counter(range(1, length))
    assert {len(one.ids) for one in sequences} <= {min(length, context)}
    assert all(list(one.ids) == list(range(one.ids[0], one.ids[0] + len(one.ids))) for one in sequences)


def run(root: Path, dataset: DatasetVersion, config: TrainConfig, out: str) -> TrainingRun:
    return train(
        config,
        project="shop",
        task="chat",
        dataset=dataset,
        dataset_dir=root / "dataset",
        base_dir=root / "scratch" if config.base else None,
        out=root / out,
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        progress=quiet,
    )


def test_texts_are_learned_from_scratch_and_further_on_a_base(tmp_path: Path) -> None:
    texts = [make_row(f"{VERSES[number % 3]} {number}", None, number) for number in range(1, 121)]
    dataset = write_dataset(tmp_path / "dataset", texts, texts[:12])
    scratch = run(tmp_path, dataset, PLAIN, "scratch")
    assert scratch.metrics["rows"] == 120 and scratch.metrics["padding_share"] == 0.0
    assert scratch.metrics["sequences"] == math.ceil((scratch.metrics["tokens"] - 1) / (64 - 1))
    assert scratch.metrics["validation_perplexity"] == pytest.approx(math.exp(scratch.metrics["validation_loss"]))
    assert scratch.metrics["validation_loss"] < 2.5, "at first it is the logarithm of 300 entries, 5.7"
    assert run(tmp_path, dataset, PLAIN, "again") == scratch
    tuned = msgspec.structs.replace(PLAIN, method="finetune", base="scratch", steps=20, learning_rate=2e-3)
    adapted = msgspec.structs.replace(tuned, method="lora", lora=LoraConfig(rank=4), learning_rate=1e-2)
    for config in (tuned, adapted):
        further = run(tmp_path, dataset, config, config.method)
        assert further.base_model == scratch.weights_hash
        assert further.metrics["validation_loss"] < 0.9 * scratch.metrics["validation_loss"]
        assert further.metrics["tokens"] == scratch.metrics["tokens"], "the base's own tokenizer"


def test_texts_end_with_the_token_that_ends_an_answer_and_hold_none_of_its_own(tmp_path: Path) -> None:
    from flyball.inference.templates import END
    from flyball.training.conversations import Head
    from flyball.training.learner import from_base, from_scratch

    texts = [make_row(f"{VERSES[0]} {END}", None, 1)]
    learner = from_scratch(RECIPE, texts, (), Head())
    (end,) = learner.text("")
    ids = learner.text(texts[0].text)
    assert ids[-1] == end and end not in ids[:-1]
    learner.save(tmp_path)
    tuned = msgspec.structs.replace(RECIPE, method="finetune")
    assert from_base(tmp_path, tuned, texts, Head()).text(texts[0].text) == ids


def test_rows_with_answers_and_too_few_texts_are_refused_with_number_and_cure(tmp_path: Path) -> None:
    mixed = [make_row(VERSES[0], None if number % 3 else "yes", number) for number in range(9)]
    with pytest.raises(InputError, match="3 of 9 training rows have an answer") as raised:
        run(tmp_path, write_dataset(tmp_path / "dataset", mixed), PLAIN, "out")
    assert "label: null" in (raised.value.cure or "")
    few = [make_row(VERSES[0], None, number) for number in range(4)]
    with pytest.raises(InputError, match=r"\d+ tokens of text make \d sequences of 64, fewer than one batch of 8"):
        run(tmp_path, write_dataset(tmp_path / "dataset", few), PLAIN, "out")
    assert not (tmp_path / "out").exists()
