"""The training loop: AdamW, warm-up and cosine, gradient clipping, any objective. Deterministic on one CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from flyball.errors import InputError
from flyball.telemetry import Progress, log
from flyball.training.batches import endless_batches
from flyball.training.checkpoints import Checkpoints, interruption
from flyball.training.config import TrainConfig
from flyball.training.objectives.objective import Item, Objective

CLIP = 1.0
LAST_RATE = 0.02  # the cosine ends at this share of the learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """One step of the loss curve, and what else the objective measures of a step."""

    step: int
    loss: float
    rate: float
    measured: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[LossPoint], None]
"""Called after each step."""
LOOKS = 10
"""So many times in a training whoever watches it is told how far it has come."""
Look = Callable[[int], None]
"""Called with the look's number, from 1 to LOOKS - 1: the training is as many LOOKS-ths done."""


def learning_rate(step: int, config: TrainConfig, *, highest: float) -> float:
    """Linear warm-up, then a cosine down to LAST_RATE; `step` counts from 1."""
    warm = max(1, round(config.steps * config.warmup))
    if step <= warm:
        return highest * step / warm
    done = (step - warm) / max(1, config.steps - warm)
    return highest * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def optimiser_of(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; norms and other vectors do not decay. The loop sets its rate."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)


def fit(
    objective: Objective[Item],
    items: Sequence[Item],
    *,
    progress: Progress,
    report: Report,
    checkpoints: Checkpoints | None = None,
    look: Look | None = None,
) -> list[LossPoint]:
    """Train the objective's model in place for `steps` of its recipe; returns the loss curve.

    With `checkpoints` it goes on after the step of the newest one, to the same bits as without a break; ctrl-c leaves
    one and raises KeyboardInterrupt. InputError when the loss or its gradient is no number: the weights stay as they
    were before that step, and so do the checkpoints. `look` may measure the model, which changes no bit of what
    follows.
    """
    config, model = objective.config, objective.learner.model
    highest = config.learning_rate or objective.rates[config.method]
    optimiser = optimiser_of(model, config)
    lengths = [objective.length(item) for item in items]
    batches = endless_batches(lengths, batch_size=config.batch_size, seed=config.seed)
    curve: list[LossPoint] = []
    if checkpoints is not None and (state := checkpoints.newest()) is not None:
        curve = _resume(model, optimiser, state, objective.step_metrics)
        log.warning("going on after step %d of %d, from a checkpoint", len(curve), config.steps)
    for point in curve:
        report(point)  # to a new tracking run
    done = len(curve)
    for _ in range(done):
        next(batches)
    began, tokens = time.monotonic(), 0
    model.train(objective.dropout)
    with interruption() as interrupted:
        for step in range(done + 1, config.steps + 1):
            rate = learning_rate(step, config, highest=highest)
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = [items[index] for index in next(batches)]
            optimiser.zero_grad(set_to_none=True)
            value, measured = _backward(objective, batch)
            _require_finite("loss", value, step, checkpoints)
            norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            _require_finite("gradient", norm.item(), step, checkpoints)
            optimiser.step()
            point = LossPoint(step=step, loss=value, rate=rate, measured=measured)
            curve.append(point)
            report(point)
            tokens += sum(len(one.ids) for item in batch for one in objective.sequences(item))
            done_looks, looks = (step - 1) * LOOKS // config.steps, step * LOOKS // config.steps
            if look is not None and done_looks < looks < LOOKS:
                look(looks)
                model.train(objective.dropout)
            if checkpoints is not None and step < config.steps and (checkpoints.due or interrupted.is_set()):
                checkpoints.save(step, _state(model, optimiser, curve))
            if interrupted.is_set():
                log.warning("stopped after step %d of %d; the same command goes on there", step, config.steps)
                raise KeyboardInterrupt
            if step % 10 == 0 or step == config.steps:
                seconds = time.monotonic() - began
                left_s = seconds / (step - done) * (config.steps - step)
                progress(
                    f"training, loss {value:.3f}, {tokens / seconds:,.0f} tokens/s, {left_s:.0f} s left",
                    step,
                    config.steps,
                )
    model.eval()
    return curve


def _backward(objective: Objective[Item], batch: Sequence[Item]) -> tuple[float, dict[str, float]]:
    """The mean loss of a batch and its step metrics; gradients are added up over parts of `micro_batch` rows."""
    size = objective.config.micro_batch or len(batch)
    whole = objective.weight(batch)
    value, measured = 0.0, dict.fromkeys(objective.step_metrics, 0.0)
    for begin in range(0, len(batch), size):
        part = batch[begin : begin + size]
        share = objective.weight(part) / whole
        mean, found = objective.loss(objective.learner.model, part)
        loss = mean * share
        loss.backward()
        value += loss.item()
        for name, number in found.items():
            measured[name] += number * share
    return value, measured


def _require_finite(what: str, value: float, step: int, checkpoints: Checkpoints | None) -> None:
    """InputError for a number that is none, which names the step and the state before it that is kept."""
    if math.isfinite(value):
        return
    kept = checkpoints.newest_path if checkpoints is not None else None
    raise InputError(
        f"the {what} is {value} at step {step}" + (f"; the last good checkpoint is {kept}" if kept else ""),
        cure="lower train.learning_rate, or raise train.warmup",
    )


def _state(model: nn.Module, optimiser: torch.optim.Optimizer, curve: Sequence[LossPoint]) -> dict[str, Tensor]:
    """All that the next step depends on; the order of rows and the settings follow from the recipe and the step."""
    moments = {
        f"optimiser.{number}.{name}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    held = {name for name, weight in model.named_parameters() if not weight.requires_grad}  # as in the base
    weights = {f"weights.{name}": value.clone() for name, value in model.state_dict().items() if name not in held}
    points = torch.tensor([(point.loss, point.rate, *point.measured.values()) for point in curve], dtype=torch.float64)
    return {**weights, **moments, "random": torch.get_rng_state(), "curve": points}


def _resume(
    model: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor], step_metrics: Sequence[str]
) -> list[LossPoint]:
    """Put everything back as it was; the curve up to there."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            moments.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    model.load_state_dict(
        {name.removeprefix("weights."): value for name, value in state.items() if name.startswith("weights.")},
        strict=False,  # what is held is in the base
    )
    torch.set_rng_state(state["random"])
    return [
        LossPoint(step=step, loss=loss, rate=rate, measured=dict(zip(step_metrics, measured, strict=True)))
        for step, (loss, rate, *measured) in enumerate(state["curve"].tolist(), 1)
    ]
