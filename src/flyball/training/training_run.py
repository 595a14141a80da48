"""Trains one recipe on one dataset: rows in, model folder and TrainingRun out. I/O: files, MLflow.

The same recipe, rows, thread count and torch build give the same weights. Nothing is half-written: the folder appears
whole at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from flyball import __version__
from flyball.data.rows import read_rows
from flyball.errors import InputError
from flyball.inference.label_scorer import LINEAR
from flyball.inference.model_folders import whole_folder
from flyball.inference.text_features import VECTORIZER
from flyball.records import DatasetVersion, TrainingRun, fingerprint, fingerprint_of
from flyball.telemetry import Progress
from flyball.training import training_loop
from flyball.training.batches import epoch_batches, padding_share
from flyball.training.checkpoints import Checkpoints
from flyball.training.config import TrainConfig
from flyball.training.conversations import Head
from flyball.training.examples import Examples, make_examples, require_enough
from flyball.training.learner import Learner, from_base, from_scratch
from flyball.training.linear_model import train_linear
from flyball.training.loss_curve import CurvePoint, write_curve
from flyball.training.mlflow_tracking import Tracker
from flyball.training.model_writer import flattened, hash_of
from flyball.training.text_lengths import most_characters
from flyball.training.tracking_store import RUN_OF
from flyball.training.user_command import train_by_command

MOST_WATCHED = 512
"""Validation rows at most that are measured while a training runs."""
Watch = Callable[[int, float, float], None]
"""Called with (tenths of the training done, validation loss, validation exact match)."""
WITHOUT_STEPS = ("command", "linear")
"""Methods that make no optimiser steps of ours."""


def train(
    config: TrainConfig,
    *,
    project: str,
    task: str,
    dataset: DatasetVersion,
    dataset_dir: Path,
    base_dir: Path | None,
    out: Path,
    tracking_uri: str,
    experiment: str | None = None,
    progress: Progress,
    head: Head | None = None,
    checkpoints_dir: Path | None = None,
    trial: str | None = None,
    watch: Watch | None = None,
) -> TrainingRun:
    """Train and write `out`; InputError for rows or a recipe that cannot be trained, or a loss that is no number.

    With `checkpoints_dir` a training that was stopped goes on from its newest checkpoint there. `experiment` is the
    name that DVC gave this, where it runs one; `head` what the release puts before the turns of a request. `trial` is
    the name of a search's trial, whose model MLflow does not register; `watch` is told how it gets on, if by steps.
    """
    head = head or Head()
    recipe = recipe_of(config, head)
    name = fingerprint(dataset)
    called = run_name(config, recipe, name) + (f", experiment {experiment}" if experiment else "")
    tracker = Tracker(tracking_uri, project=project, run_name=called + (f", {trial}" if trial else ""))
    tracker.params(flattened(recipe))
    if experiment:
        tracker.tag("flyball.experiment", experiment)
    if trial:
        tracker.tag("flyball.trial", trial)
    tracker.dataset(name, [split.name for split in dataset.splits if split.rows])
    status = "KILLED"
    checkpoints = _checkpoints(checkpoints_dir, config, recipe, name, base_dir)
    try:
        with whole_folder(out) as folder:
            if config.method == "command":
                train_by_command(config.command, dataset_dir=dataset_dir, out=folder)
                metrics: dict[str, float] = {}
            elif config.method == "linear":
                metrics = train_linear(
                    config.linear,
                    dataset_dir=dataset_dir,
                    out=folder,
                    threads=config.threads,
                    seed=config.seed,
                    progress=progress,
                )
            else:
                metrics = _fit_and_save(
                    config, task, dataset, dataset_dir, base_dir, head, folder, tracker, progress, checkpoints, watch
                )
            run = TrainingRun(
                project=project,
                dataset=name,
                base_model=base_hash(config, base_dir),
                method=config.method,
                recipe=recipe,
                steps=0 if config.method in WITHOUT_STEPS else config.steps,
                metrics=metrics,
                weights_hash=hash_of(folder, LINEAR if config.method == "linear" else "*.safetensors"),
                tokenizer_hash=hash_of(folder, VECTORIZER if config.method == "linear" else "tokenizer.json"),
            )
        if checkpoints is not None:
            checkpoints.remove()
        tracker.metrics(metrics)
        tracker.tag(RUN_OF, fingerprint(run))
        status = "FINISHED"
    except Exception:  # only noted for tracking, whatever it was, and raised on
        status = "FAILED"
        raise
    finally:
        tracker.finish(status, artifact=out if status == "FINISHED" and not trial else None)
    return run


def _checkpoints(
    folder: Path | None, config: TrainConfig, recipe: Mapping[str, Any], dataset: str, base_dir: Path | None
) -> Checkpoints | None:
    """Those of exactly this training: the same rows, recipe, base, torch and Flyball, since other bits would follow."""
    if folder is None or config.method in WITHOUT_STEPS:
        return None
    base = base_hash(config, base_dir)
    name = fingerprint_of([recipe, dataset, base, torch.__version__, __version__])
    return Checkpoints(folder, name, every_s=config.checkpoint_every_s)


def run_name(config: TrainConfig, recipe: Mapping[str, Any], dataset: str) -> str:
    """What tells this run from others in MLflow's list: how, how long, on which rows, by which recipe."""
    steps = "" if config.method in WITHOUT_STEPS else f" {config.steps} steps"
    return f"{config.method}{steps}, data {dataset[:8]}, recipe {fingerprint_of(recipe)[:8]}"


def recipe_of(config: TrainConfig, head: Head) -> dict[str, Any]:
    """The settings that decide the weights, with a name for what the release puts first; where it is tracked is none.

    A command of the user's renders rows as it likes.
    """
    recipe: dict[str, Any] = msgspec.to_builtins(config)
    recipe.pop("tracking")
    recipe.pop("checkpoint_every_s")
    if config.method != "lora":
        recipe.pop("lora")
    linear = recipe.pop("linear")
    if config.method == "linear":  # nothing of a language model decides its weights
        return {"method": config.method, "seed": config.seed, "linear": linear}
    if config.micro_batch is None:
        recipe.pop("micro_batch")  # recipes from before it keep their names
    if config.method != "command" and (head.system or head.examples):
        recipe["head"] = head_name(head)
    return recipe


def head_name(head: Head) -> str:
    """The name of what a release puts first, by its texts."""
    return fingerprint_of([head.system, [[one.role, one.content] for one in head.examples]])


def base_hash(config: TrainConfig, base_dir: Path | None) -> str | None:
    """The name of the base model's weights."""
    return hash_of(base_dir, "*.safetensors") if config.method in ("finetune", "lora") and base_dir else None


def _fit_and_save(
    config: TrainConfig,
    task: str,
    dataset: DatasetVersion,
    dataset_dir: Path,
    base_dir: Path | None,
    head: Head,
    folder: Path,
    tracker: Tracker,
    progress: Progress,
    checkpoints: Checkpoints | None,
    watch: Watch | None,
) -> dict[str, float]:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    progress("reading rows", 0, 0)
    rows = list(read_rows(dataset_dir, "train"))
    learner = _learner(config, task, dataset, base_dir, rows, head)
    most = most_characters(rows, render=learner.render, context=learner.context)
    training = _examples(learner, rows, most)
    require_enough(training, batch_size=config.batch_size)
    held_out = _examples(learner, list(read_rows(dataset_dir, "validation")), most)

    def look(tenths: int) -> None:
        if watch is not None and held_out.items:
            watch(tenths, *training_loop.measure(learner.model, held_out.items[:MOST_WATCHED]))

    curve = training_loop.fit(
        learner.model,
        training.items,
        config,
        first_word=learner.first_word,
        progress=progress,
        report=lambda step, loss, rate: tracker.point({"loss": loss, "learning_rate": rate}, step),
        checkpoints=checkpoints,
        look=look if watch is not None else None,
    )
    progress("measuring on validation rows", config.steps, config.steps)
    metrics = _metrics(learner, training, held_out, curve, config) | {"max_characters": float(most)}
    learner.save(folder)
    points = [CurvePoint(step=p.step, loss=round(p.loss, 6), learning_rate=p.rate) for p in curve]
    write_curve(folder / "curve.json", points)
    return metrics


def _learner(
    config: TrainConfig, task: str, dataset: DatasetVersion, base_dir: Path | None, rows: Sequence[Any], head: Head
) -> Learner:
    if config.method == "scratch":
        labels = dataset.labels if task == "classification" else ()
        return from_scratch(config, rows, labels, head)
    if base_dir is None:
        raise InputError(
            f"train.method is {config.method}, train.base is missing", cure="add train.base: a model folder"
        )
    return from_base(base_dir, config, rows, head)


def _examples(learner: Learner, rows: Sequence[Any], most: int) -> Examples:
    return make_examples(rows, render=learner.render, context=learner.context, most=most)


def _metrics(
    learner: Learner,
    training: Examples,
    held_out: Examples,
    curve: Sequence[training_loop.LossPoint],
    config: TrainConfig,
) -> dict[str, float]:
    """Numbers without a clock in them: they are part of the run's fingerprint. All floats, so that they parse back."""
    last = [point.loss for point in curve[-max(1, len(curve) // 20) :]]
    lengths = [len(example.ids) for example in training.items]
    batches = epoch_batches(lengths, batch_size=config.batch_size, seed=config.seed, epoch=0)
    trained, held = (_count(learner.model, trained=wanted) for wanted in (True, False))
    counted = {
        "loss": sum(last) / len(last),
        "parameters": held or trained,  # adapters end up in the weights beside them
        "rows": len(training.items),
        "rows_truncated": training.truncated,
        "rows_too_long": training.too_long,
        "rows_refused": training.refused,
        "rows_unlabelled": training.unlabelled,
        "padding_share": padding_share(lengths, batches),
    }
    if held:
        counted["parameters_trained"] = trained
    if held_out.items:
        loss, exact = training_loop.measure(learner.model, held_out.items)
        counted |= {"validation_loss": loss, "validation_exact_match": exact}
    return {name: float(value) for name, value in counted.items()}


def _count(model: torch.nn.Module, *, trained: bool) -> int:
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad is trained)
