"""Distillation: the loss is Hinton's, a student agrees more with its teacher for it, other vocabularies are named."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from flyball.errors import InputError
from flyball.records import DatasetVersion, TrainingRun, canonical_bytes, parents_of, parse
from flyball.telemetry import Progress, quiet
from flyball.training.config import DistillationConfig, SizeConfig, TrainConfig
from flyball.training.conversations import Head
from flyball.training.learner import Learner
from flyball.training.objectives.distillation import Distillation, Taught
from flyball.training.training_loop import _backward
from flyball.training.training_run import Teacher, recipe_of, train
from small_models import LABELS, RECIPE, make_row, rows, write_dataset

SUPPORT = Path(__file__).parents[2] / "support"
KILLED = """
import os, signal, sys
from pathlib import Path
from test_distillation import checkpointed

def kill(what, done, whole):
    if what.startswith("training") and done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

checkpointed(Path(sys.argv[1]), "broken", kill)
"""
STUDENT = msgspec.structs.replace(
    RECIPE,
    size=SizeConfig(layers=1, hidden=32, heads=2, kv_heads=1, feed_forward=48, context=64),
    objective="distillation",
    teacher="teacher",
    steps=40,
    distillation=DistillationConfig(weight=0.9, top_k=512),
)


class Fixed(torch.nn.Module):  # type: ignore[misc]  # a double: the logits that a test gives it
    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(positions)]


def softened(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(one / temperature) for one in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("rows_at_once", [None, 1])
def test_the_loss_is_cross_entropy_and_divergence_computed_by_hand(rows_at_once: int | None) -> None:
    temperature, weight = 2.0, 0.3
    student, teacher = [1.0, -0.5, 0.25], [0.0, 2.0, -1.0]
    q, p = softened(student, temperature), softened(teacher, temperature)
    divergence = sum(one * math.log(one / other) for one, other in zip(p, q, strict=True))
    hard = -math.log(softened(student, 1.0)[2])
    config = msgspec.structs.replace(
        STUDENT,
        micro_batch=rows_at_once,
        word_dropout=0.0,
        distillation=DistillationConfig(temperature=temperature, weight=weight),
    )
    order = [1, 0, 2]  # the likeliest first
    item = Taught(
        (1, 1, 2),
        ((2, 3),),
        logits=torch.tensor([[teacher[token] for token in order]]),
        tokens=torch.tensor([order]),
    )

    def unused(*_: object) -> None:
        raise AssertionError("nothing is rendered or saved")

    model = Fixed([student, student])
    learner = Learner(model=model, context=8, first_word=None, render=unused, text=unused, save=unused)  # type: ignore[arg-type]
    value, measured = _backward(Distillation(config, learner), [item, item])
    assert measured["divergence"] == pytest.approx(divergence, rel=1e-5)
    assert measured["cross_entropy"] == pytest.approx(hard, rel=1e-5)
    assert value == pytest.approx((1 - weight) * hard + weight * temperature**2 * divergence, rel=1e-5)


def checkpointed(folder: Path, out: str, progress: Progress, *, keep: bool = True) -> TrainingRun:
    """A student of `folder`/teacher, with a checkpoint after each step."""
    return train(
        msgspec.structs.replace(STUDENT, checkpoint_every_s=1e-6),
        project="shop",
        task="classification",
        dataset=write_dataset(folder / "killed", rows(60, seed=5), rows(20, seed=6)),
        dataset_dir=folder / "killed",
        base_dir=None,
        teacher=Teacher(folder=folder / "teacher", name="b" * 64),
        out=folder / out,
        tracking_uri=f"file:{folder}/mlruns",
        progress=progress,
        checkpoints_dir=folder / "checkpoints" if keep else None,
    )


class Shop:
    """A teacher that learned from labels, and what students of it are given: a few rows, some of them mislabelled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.many = write_dataset(folder / "many", rows(300, seed=1))
        wrong = [
            make_row(
                one.text, LABELS[(LABELS.index(one.label or "") + 1) % 4] if number % 3 == 0 else one.label, number
            )
            for number, one in enumerate(rows(120, seed=2))
        ]
        self.few = write_dataset(folder / "few", wrong, rows(80, seed=3))
        self.train(RECIPE, "teacher", self.many, "many")

    def train(
        self, config: TrainConfig, out: str, dataset: DatasetVersion, rows: str, name: str | None = None
    ) -> TrainingRun:
        return train(
            config,
            project="shop",
            task="classification",
            dataset=dataset,
            dataset_dir=self.folder / rows,
            base_dir=self.folder / config.base if config.base else None,
            teacher=Teacher(folder=self.folder / "teacher", name=name) if config.teacher else None,
            out=self.folder / out,
            tracking_uri=f"file:{self.folder}/mlruns",
            progress=quiet,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("distillation"))


def test_a_student_agrees_more_with_its_teacher_than_one_that_has_the_rows_alone(shop: Shop) -> None:
    taught = shop.train(STUDENT, "taught", shop.few, "few", name="a" * 64)
    alone_of = msgspec.structs.replace(STUDENT, distillation=DistillationConfig(weight=0.0, top_k=512))
    alone = shop.train(alone_of, "alone", shop.few, "few")
    assert taught.metrics["validation_teacher_agreement"] > alone.metrics["validation_teacher_agreement"] + 0.05
    assert taught.metrics["parameters"] < 0.5 * 100_000
    assert taught.teacher == "a" * 64 and ("teacher", "a" * 64) in parents_of(taught)
    assert alone.teacher is not None and len(alone.teacher) == 64, "the hash of the weights of a folder"
    assert parse(canonical_bytes(taught), TrainingRun) == taught
    assert shop.train(STUDENT, "again", shop.few, "few", name="a" * 64) == taught

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(shop.folder / "taught")
    teacher = AutoModelForCausalLM.from_pretrained(shop.folder / "teacher")
    assert model.config.vocab_size == teacher.config.vocab_size
    assert model.config.eos_token_id == teacher.config.eos_token_id
    tokenizer = AutoTokenizer.from_pretrained(shop.folder / "taught")
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(shop.folder / "teacher").get_vocab()


def test_kill_9_changes_no_bit_and_the_teacher_is_not_asked_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checkpointed(shop.folder, "whole", quiet, keep=False)
    step = random.Random().choice((10, 20, 30))
    folders = os.pathsep.join([str(Path(__file__).parent), str(SUPPORT)])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(shop.folder), str(step)],
        env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (shop.folder / "broken").exists()

    def never(*_: object) -> None:
        raise AssertionError("what it says was kept")

    monkeypatch.setattr(Distillation, "_ask", never)
    assert checkpointed(shop.folder, "broken", quiet) == whole, f"killed at step {step}"
    curves = [(shop.folder / name / "curve.json").read_bytes() for name in ("whole", "broken")]
    assert curves[0] == curves[1]


def test_a_base_with_another_vocabulary_is_refused_with_both_sizes(shop: Shop) -> None:
    other = msgspec.structs.replace(RECIPE, steps=1, size=msgspec.structs.replace(RECIPE.size, vocabulary=400))
    shop.train(other, "other", shop.many, "many")
    tuned = msgspec.structs.replace(STUDENT, method="finetune", base="other")
    with pytest.raises(InputError, match=r"teacher's vocabulary has \d+ tokens, the student's \d+") as raised:
        shop.train(tuned, "refused", shop.few, "few")
    assert "train.method: scratch" in (raised.value.cure or "")
    same = msgspec.structs.replace(STUDENT, method="finetune", base="teacher", steps=2, learning_rate=1e-4)
    assert shop.train(same, "tuned", shop.few, "few").metrics["validation_teacher_agreement"] > 0.9


def test_where_a_teacher_is_names_no_recipe_and_how_it_teaches_does() -> None:
    moved = msgspec.structs.replace(STUDENT, teacher="elsewhere")
    assert recipe_of(moved, Head()) == recipe_of(STUDENT, Head())
    colder = msgspec.structs.replace(STUDENT, distillation=DistillationConfig(temperature=1.0))
    assert recipe_of(colder, Head()) != recipe_of(STUDENT, Head())
