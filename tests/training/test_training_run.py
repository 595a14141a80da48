"""Training keeps its promises: it learns, repeats itself exactly, and leaves a whole folder or none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from flyball.errors import CorruptionError, InputError, RefusedError
from flyball.inference.prompt_path import PromptPath
from flyball.inference.templates import CHAT_TEMPLATE, render
from flyball.records import DatasetVersion, Message, Preparation, TrainingRun, canonical_bytes, parse
from flyball.telemetry import Progress, quiet
from flyball.training.config import TrainConfig
from flyball.training.conversations import Head
from flyball.training.training_run import head_name, train
from small_models import LABELS, RECIPE, make_row, rows, write_dataset
from tiny_gguf import tiny_release

STORE: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One tracking store for all trainings here: making one takes a second."""
    STORE[:] = [f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"]


def run_training(
    config: TrainConfig,
    tmp_path: Path,
    dataset: DatasetVersion,
    *,
    out: str = "training",
    base: Path | None = None,
    task: str = "classification",
    progress: Progress = quiet,
    head: Head | None = None,
    **more: object,
) -> TrainingRun:
    return train(
        config,
        project="shop",
        task=task,
        dataset=dataset,
        dataset_dir=tmp_path / "dataset",
        base_dir=base,
        out=tmp_path / out,
        tracking_uri=STORE[0],
        progress=progress,
        head=head,
        **more,
    )


@pytest.fixture(scope="module")
def learned(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, TrainingRun, DatasetVersion, list[tuple[str, int, int]]]:
    """A training on rows that can be learned in seconds: its folder, run, dataset and progress."""
    folder = tmp_path_factory.mktemp("learned")
    dataset = write_dataset(folder / "dataset", rows(200, seed=1), rows(60, seed=2))
    shown: list[tuple[str, int, int]] = []
    run = run_training(RECIPE, folder, dataset, progress=lambda *seen: shown.append(seen))
    return folder, run, dataset, shown


def test_a_small_model_learns_rows_whose_label_follows_from_a_word(learned):
    _, run, _, _ = learned
    assert run.metrics["validation_exact_match"] >= 0.95
    assert run.metrics["validation_loss"] < 0.2
    assert run.metrics["rows"] == 200


def test_progress_tells_the_loss_and_the_time_left_and_ends_at_the_last_step(learned):
    _, _, _, shown = learned
    steps = [(done, total) for what, done, total in shown if "loss" in what and "s left" in what]
    assert steps[-1] == (RECIPE.steps, RECIPE.steps)


def test_the_curve_has_every_step_and_falls(learned):
    folder, _, _, _ = learned
    curve = json.loads((folder / "training" / "curve.json").read_text())
    assert [point["step"] for point in curve] == list(range(1, RECIPE.steps + 1))
    assert curve[-1]["loss"] < curve[0]["loss"] / 4


def test_the_record_survives_its_canonical_bytes_and_holds_no_clock(learned):
    _, run, _, _ = learned
    assert parse(canonical_bytes(run), TrainingRun) == run
    assert "tracking" not in run.recipe
    assert not [name for name in run.metrics if "second" in name or "time" in name]


def test_the_same_recipe_and_rows_give_the_same_weights_and_another_seed_gives_others(learned, tmp_path):
    _, run, _, _ = learned
    short = msgspec.structs.replace(RECIPE, steps=8)
    dataset = write_dataset(tmp_path / "dataset", rows(200, seed=1), rows(60, seed=2))
    first = run_training(short, tmp_path, dataset, out="first")
    torch.rand(7)  # whatever else drew random numbers meanwhile
    second = run_training(short, tmp_path, dataset, out="second")
    other = run_training(msgspec.structs.replace(short, seed=2), tmp_path, dataset, out="other")
    assert first == second
    assert first.weights_hash != other.weights_hash
    assert first.tokenizer_hash == other.tokenizer_hash == run.tokenizer_hash


def test_a_trial_that_is_watched_ends_with_the_same_weights_and_registers_no_model(tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(STORE[0])
    registered = len(client.search_model_versions("name = 'shop'"))
    short = msgspec.structs.replace(RECIPE, steps=20, dropout=0.2)
    dataset = write_dataset(tmp_path / "dataset", rows(200, seed=1), rows(60, seed=2))
    alone = run_training(short, tmp_path, dataset, out="alone")
    assert len(client.search_model_versions("name = 'shop'")) == registered + 1
    looks: list[tuple[int, float, float]] = []
    watched = run_training(
        short, tmp_path, dataset, out="watched", trial="search x trial 3", watch=lambda *look: looks.append(look)
    )
    assert watched == alone
    assert [tenths for tenths, _, _ in looks] == list(range(1, 10))
    assert looks[-1][1] < looks[0][1]
    assert len(client.search_model_versions("name = 'shop'")) == registered + 1
    experiment = client.get_experiment_by_name("shop").experiment_id
    (run,) = client.search_runs([experiment], "tags.`flyball.trial` = 'search x trial 3'")
    assert run.info.status == "FINISHED" and run.info.run_name.endswith("search x trial 3")


def test_fewer_rows_than_one_batch_are_refused_with_the_number_and_nothing_is_left(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", rows(5, seed=1))
    with pytest.raises(InputError, match="5 training rows are fewer than one batch of 16"):
        run_training(RECIPE, tmp_path, dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset"]


def test_rows_longer_than_the_context_are_shortened_and_counted_and_unlabelled_ones_left_out(tmp_path):
    odd = [make_row("word " * 500, LABELS[0], 900), make_row("no label", None, 901)]
    dataset = write_dataset(tmp_path / "dataset", [*rows(40, seed=1), *odd])
    run = run_training(msgspec.structs.replace(RECIPE, steps=2), tmp_path, dataset)
    assert run.metrics["rows_truncated"] == 1
    assert run.metrics["rows_unlabelled"] == 1
    assert run.metrics["rows"] == 41


def test_a_loss_that_is_no_number_stops_training_and_leaves_nothing(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", rows(100, seed=1))
    wild = msgspec.structs.replace(RECIPE, learning_rate=1e30, warmup=0.0)
    with pytest.raises(InputError, match=r"the (loss|gradient) is (nan|inf) at step"):
        run_training(wild, tmp_path, dataset)
    assert not (tmp_path / "training").exists()


def test_an_interrupted_training_leaves_nothing_half_written(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", rows(100, seed=1))

    def interrupt(what: str, done: int, total: int) -> None:
        if "validation" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(msgspec.structs.replace(RECIPE, steps=2), tmp_path, dataset, progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset"]


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", rows(40, seed=1))
    (tmp_path / ".training.partial").mkdir()
    (tmp_path / ".training.partial" / "model.safetensors").write_bytes(b"half")
    run_training(msgspec.structs.replace(RECIPE, steps=2), tmp_path, dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "training"]


def test_a_vocabulary_without_room_for_the_labels_is_refused(tmp_path):
    many = [make_row(f"text {number}", f"label {number}", number) for number in range(1, 300)]
    dataset = write_dataset(tmp_path / "dataset", many)
    with pytest.raises(InputError, match="a vocabulary of 512 has no room for 299 labels"):
        run_training(RECIPE, tmp_path, dataset)


def test_finetuning_starts_from_a_folder_and_keeps_its_tokenizer(learned, tmp_path):
    folder, scratch, _, _ = learned
    dataset = write_dataset(tmp_path / "dataset", rows(100, seed=3), rows(40, seed=4))
    recipe = msgspec.structs.replace(RECIPE, method="finetune", base="base", steps=30, learning_rate=1e-3)
    run = run_training(recipe, tmp_path, dataset, base=folder / "training")
    assert run.base_model == scratch.weights_hash
    assert run.tokenizer_hash == scratch.tokenizer_hash
    assert run.metrics["validation_exact_match"] >= 0.9


def test_a_base_folder_that_is_broken_or_runs_code_is_refused(learned, tmp_path):
    folder, _, _, _ = learned
    dataset = write_dataset(tmp_path / "dataset", rows(40, seed=3))
    recipe = msgspec.structs.replace(RECIPE, method="finetune", base="base", steps=2)
    base = tmp_path / "base"
    base.mkdir()
    for path in (folder / "training").iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CorruptionError, match="does not load"):
        run_training(recipe, tmp_path, dataset, base=base)
    (base / "model.safetensors").write_bytes(weights)
    (base / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(RefusedError, match="pickle or code"):
        run_training(recipe, tmp_path, dataset, base=base)


def test_a_command_of_the_users_gets_the_folders_and_its_model_is_taken(learned, tmp_path):
    folder, scratch, _, _ = learned
    dataset = write_dataset(tmp_path / "dataset", rows(20, seed=3))
    command = f'test -f "$FLYBALL_DATASET/train.parquet" && cp {folder / "training"}/* "$FLYBALL_OUTPUT"'
    run = run_training(TrainConfig(method="command", command=command), tmp_path, dataset)
    assert run.weights_hash == scratch.weights_hash
    assert (tmp_path / "training" / "config.json").is_file()


@pytest.mark.long
def test_the_peft_example_trains_a_merged_model_by_a_command(learned, tmp_path):
    folder, scratch, _, _ = learned
    dataset = write_dataset(tmp_path / "dataset", rows(20, seed=3))
    script = Path(__file__).parents[2] / "examples/training_commands/peft_lora.py"
    command = f"{sys.executable} {script} --base {folder / 'training'} --steps 3 --batch 4 --rank 4 --learning-rate .01"
    run = run_training(TrainConfig(method="command", command=command), tmp_path, dataset)
    assert run.weights_hash != scratch.weights_hash
    assert run.tokenizer_hash == scratch.tokenizer_hash


@pytest.mark.parametrize(
    ("command", "message"),
    [("exit 3", "ended with 3"), ("true", "has no config.json"), (None, "train.command is missing")],
)
def test_a_command_that_fails_or_writes_no_model_is_refused(tmp_path, command, message):
    dataset = write_dataset(tmp_path / "dataset", rows(20, seed=3))
    with pytest.raises(InputError, match=message):
        run_training(TrainConfig(method="command", command=command), tmp_path, dataset)
    assert not (tmp_path / "training").exists()


def test_a_chat_model_learns_replies_of_many_tokens(tmp_path):
    pairs = {"hi": "hello there, how can I help?", "bye": "goodbye and thank you"}
    made = [make_row(f"{said} {line}", pairs[said], line) for line in range(1, 41) for said in pairs]
    dataset = write_dataset(tmp_path / "dataset", made, made[:10])
    run = run_training(RECIPE, tmp_path, dataset, task="chat")
    assert run.metrics["validation_exact_match"] == 1.0


def test_the_cut_leaves_room_for_what_the_release_puts_first(tmp_path):
    from tokenizers import Tokenizer

    long = [make_row(f"my {'money back ' * 40} {line}", "refund", line) for line in range(1, 21)]
    dataset = write_dataset(tmp_path / "dataset", [*long, *rows(20, seed=1)])
    prompt = "You sort what customers of a shop write."
    head = Head(
        system=prompt, examples=(Message(role="user", content="hi"), Message(role="assistant", content="refund"))
    )
    recipe = msgspec.structs.replace(RECIPE, steps=2)
    plain = run_training(recipe, tmp_path, dataset, out="plain")
    asked = run_training(recipe, tmp_path, dataset, head=head)
    most = int(asked.metrics["max_characters"])
    assert most < plain.metrics["max_characters"]
    assert asked.metrics["rows_truncated"] == 20 and asked.metrics["rows_too_long"] <= 1
    assert (asked.recipe["head"], "head" in plain.recipe) == (head_name(head), False)
    prepared = Preparation(version=1, steps=(), max_characters=most)
    release = replace(tiny_release(system_prompt=prompt), examples=head.examples, preparation=prepared)
    tokenizer = Tokenizer.from_file(str(tmp_path / "training" / "tokenizer.json"))
    fits = 0
    for row in long:
        body = PromptPath(release).engine_request({"messages": [{"role": "user", "content": row.text}]}).body
        sent = render(CHAT_TEMPLATE, body["messages"], add_generation_prompt=True)
        assert prompt in sent
        fits += len(tokenizer.encode(sent).ids) + 2 <= 64
    assert fits >= 19


def test_the_answers_of_all_turns_are_learned_from_scratch_and_by_finetuning(tmp_path):
    turns = (
        '[{"role":"system","content":"be brief"},{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]'
    )
    made = [
        replace(
            make_row(f"hi\n\nbye {line}", "goodbye", line),
            turns=f'{turns[:-1]},{{"role":"user","content":"bye {line}"}}]',
        )
        for line in range(1, 41)
    ]
    dataset = write_dataset(tmp_path / "dataset", made, made[:10])
    run = run_training(RECIPE, tmp_path, dataset, task="chat")
    assert run.metrics["validation_exact_match"] == 1.0 and run.metrics["rows_refused"] == 0
    again = msgspec.structs.replace(RECIPE, method="finetune", base="base", steps=3)
    tuned = run_training(again, tmp_path, dataset, base=tmp_path / "training", out="tuned", task="chat")
    assert tuned.metrics["validation_exact_match"] == 1.0 and tuned.metrics["loss"] < 0.1
