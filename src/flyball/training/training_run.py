"""Trains one recipe on one dataset: rows in, model folder and TrainingRun out. I/O: files, MLflow.

The same recipe, rows, thread count and torch build give the same weights. Nothing is half-written: the folder appears
whole at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import torch

from flyball import __version__
from flyball.data.rows import Row, read_rows
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
from flyball.training.learner import Learner, from_base, from_scratch, from_teacher
from flyball.training.linear_model import train_linear
from flyball.training.loss_curve import CurvePoint, write_curve
from flyball.training.mlflow_tracking import Tracker
from flyball.training.model_writer import flattened, hash_of
from flyball.training.objectives.catalog import OBJECTIVES
from flyball.training.objectives.distillation import require_same_vocabulary
from flyball.training.objectives.objective import Item, Objective, Prepared
from flyball.training.text_lengths import most_characters
from flyball.training.tracking_store import RUN_OF
from flyball.training.user_command import train_by_command

MOST_WATCHED = 512
"""Validation rows at most that are measured while a training runs."""
Watch = Callable[[int, float, float], None]
"""Called with (tenths of the training done, validation loss, validation exact match or 0 where it is not measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """The folder of the model that a student learns from, and its name where it is a model version."""

    folder: Path
    name: str | None = None


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
    teacher: Teacher | None = None,
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
    taught_by = teacher.name or hash_of(teacher.folder, "*.safetensors") if teacher else None
    checkpoints = _checkpoints(checkpoints_dir, config, recipe, name, base_dir, taught_by)
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
                    config,
                    task,
                    dataset,
                    dataset_dir,
                    base_dir,
                    teacher.folder if teacher else None,
                    head,
                    folder,
                    tracker,
                    progress,
                    checkpoints,
                    watch,
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
                teacher=taught_by,
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
    folder: Path | None,
    config: TrainConfig,
    recipe: Mapping[str, Any],
    dataset: str,
    base_dir: Path | None,
    teacher: str | None,
) -> Checkpoints | None:
    """Those of exactly this training: same rows, recipe, base, teacher, torch and Flyball, else other bits follow."""
    if folder is None or config.method in WITHOUT_STEPS:
        return None
    base = base_hash(config, base_dir)
    name = fingerprint_of([recipe, dataset, base, teacher, torch.__version__, __version__])
    return Checkpoints(folder, name, every_s=config.checkpoint_every_s)


def run_name(config: TrainConfig, recipe: Mapping[str, Any], dataset: str) -> str:
    """What tells this run from others in MLflow's list: how, how long, on which rows, by which recipe."""
    objective = "" if config.objective == "supervised" else f" {config.objective}"
    steps = "" if config.method in WITHOUT_STEPS else f" {config.steps} steps"
    return f"{config.method}{objective}{steps}, data {dataset[:8]}, recipe {fingerprint_of(recipe)[:8]}"


def recipe_of(config: TrainConfig, head: Head) -> dict[str, Any]:
    """The settings that decide the weights, with a name for what the release puts first; where it is tracked is none.

    A command of the user's renders rows as it likes.
    """
    recipe: dict[str, Any] = msgspec.to_builtins(config)
    recipe.pop("tracking")
    recipe.pop("checkpoint_every_s")
    if config.objective == "supervised":
        recipe.pop("objective")  # recipes from before it keep their names
    if config.objective != "dpo":
        recipe.pop("dpo")
    recipe.pop("teacher")  # where it is; the run names the model itself
    if config.objective != "distillation":
        recipe.pop("distillation")
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
    teacher: Path | None,
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
    kind = OBJECTIVES[config.objective]
    rows = list(read_rows(dataset_dir, "train"))
    asked = kind.asked(rows)
    learner = _learner(config, task, dataset, base_dir, teacher, asked, head)
    most = most_characters(asked, render=learner.render, context=learner.context)
    objective = kind(config, learner, teacher=teacher)
    training = objective.prepare(rows, most)
    objective.require_enough(training)
    held_out = objective.prepare(read_rows(dataset_dir, "validation"), most)
    keep = checkpoints.keep if checkpoints is not None else lambda _name, compute: compute()
    items = objective.before(training.items, "train", keep=keep, progress=progress)
    checked = objective.before(held_out.items, "validation", keep=keep, progress=progress)

    def look(tenths: int) -> None:
        if watch is not None and checked:
            figures = objective.measure(learner.model, checked[:MOST_WATCHED])
            watch(tenths, figures["loss"], figures.get("exact_match", 0.0))

    curve = training_loop.fit(
        objective,
        items,
        progress=progress,
        report=lambda point: tracker.point(
            {"loss": point.loss, "learning_rate": point.rate, **point.measured}, point.step
        ),
        checkpoints=checkpoints,
        look=look if watch is not None else None,
    )
    progress("measuring on validation rows", config.steps, config.steps)
    metrics = _metrics(objective, training, curve) | {"max_characters": float(most)}
    if checked:
        figures = objective.measure(learner.model, checked)
        metrics |= {f"validation_{name}": float(value) for name, value in figures.items()}
    learner.save(folder)
    points = [CurvePoint(step=p.step, loss=round(p.loss, 6), learning_rate=p.rate) for p in curve]
    write_curve(folder / "curve.json", points, [p.measured for p in curve])
    return metrics


def _learner(
    config: TrainConfig,
    task: str,
    dataset: DatasetVersion,
    base_dir: Path | None,
    teacher: Path | None,
    rows: Sequence[Row],
    head: Head,
) -> Learner:
    if config.method == "scratch" and teacher is not None:
        return from_teacher(teacher, config, rows, head)
    if config.method == "scratch":
        labels = dataset.labels if task == "classification" else ()
        return from_scratch(config, rows, labels, head)
    if base_dir is None:
        raise InputError(
            f"train.method is {config.method}, train.base is missing", cure="add train.base: a model folder"
        )
    if teacher is not None:
        require_same_vocabulary(teacher, base_dir)
    return from_base(base_dir, config, rows, head)


def _metrics(
    objective: Objective[Item], training: Prepared[Item], curve: Sequence[training_loop.LossPoint]
) -> dict[str, float]:
    """Numbers without a clock in them: they are part of the run's fingerprint. All floats, so that they parse back."""
    config, model = objective.config, objective.learner.model
    last = [point.loss for point in curve[-max(1, len(curve) // 20) :]]
    lengths = [objective.length(item) for item in training.items]
    batches = epoch_batches(lengths, batch_size=config.batch_size, seed=config.seed, epoch=0)
    trained, held = (_count(model, trained=wanted) for wanted in (True, False))
    counted = {
        "loss": sum(last) / len(last),
        "parameters": held or trained,  # adapters end up in the weights beside them
        **training.counts,
        "padding_share": _padding_share(objective, training.items, batches),
    }
    if held:
        counted["parameters_trained"] = trained
    return {name: float(value) for name, value in counted.items()}


def _padding_share(objective: Objective[Item], items: Sequence[Item], batches: Sequence[Sequence[int]]) -> float:
    """Of all sequences: an item may have several, which stand in one batch."""
    lengths = [[len(one.ids) for one in objective.sequences(item)] for item in items]
    ends = [0, *accumulate(map(len, lengths))]
    flat = [length for some in lengths for length in some]
    return padding_share(
        flat, [[at for item in batch for at in range(ends[item], ends[item + 1])] for batch in batches]
    )


def _count(model: torch.nn.Module, *, trained: bool) -> int:
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad is trained)
