"""The training loop: AdamW, warm-up and cosine, gradient clipping, loss on answers only. Deterministic on one CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.errors import InputError
from flyball.telemetry import Progress, log
from flyball.training.batches import endless_batches
from flyball.training.checkpoints import Checkpoints, interruption
from flyball.training.config import TrainConfig
from flyball.training.examples import Example, targets_of

CLIP = 1.0
RATES = {"scratch": 2e-3, "finetune": 2e-4, "lora": 2e-4}
LAST_RATE = 0.02  # the cosine ends at this share of the learning rate

LOOKS = 10
"""So many times in a training whoever watches it is told how far it has come."""
Report = Callable[[int, float, float], None]
"""Called with (step, loss, learning rate)."""
Look = Callable[[int], None]
"""Called with the look's number, from 1 to LOOKS - 1: the training is as many LOOKS-ths done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """One step of the loss curve."""

    step: int
    loss: float
    rate: float


def collate(batch: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (batch, width) padded on the right, flat positions and their targets."""
    width = max(len(example.ids) for example in batch)
    ids = torch.tensor([[*example.ids, *[0] * (width - len(example.ids))] for example in batch])
    positions, targets = targets_of(batch, width)
    return ids, torch.tensor(positions), torch.tensor(targets)


def without_words(ids: Tensor, batch: Sequence[Example], *, share: float, first_word: int) -> Tensor:
    """Ids with a random `share` of the prompts' words (ids from `first_word` on) replaced by padding.

    A model that never sees quite the same text twice learns to do without any one word (word dropout, Iyyer 2015).
    """
    in_prompt = torch.ones(ids.shape, dtype=torch.bool)
    for row, example in enumerate(batch):
        for begin, end in example.learned:
            in_prompt[row, begin:end] = False
    dropped = (torch.rand(ids.shape) < share) & in_prompt & (ids >= first_word)
    return ids.masked_fill(dropped, 0)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine down to LAST_RATE; `step` counts from 1."""
    highest = config.learning_rate or RATES[config.method]
    warm = max(1, round(config.steps * config.warmup))
    if step <= warm:
        return highest * step / warm
    done = (step - warm) / max(1, config.steps - warm)
    return highest * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def optimiser_of(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; norms and other vectors do not decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate(1, config), betas=(0.9, 0.98), fused=True)


def fit(
    model: nn.Module,
    examples: Sequence[Example],
    config: TrainConfig,
    *,
    first_word: int | None,
    progress: Progress,
    report: Report,
    checkpoints: Checkpoints | None = None,
    look: Look | None = None,
) -> list[LossPoint]:
    """Train `model` in place for `config.steps`; returns the loss curve. InputError when the loss is no number.

    Ids from `first_word` on may be dropped from prompts; None: no id may. With `checkpoints` it goes on after the step
    of the newest one, to the same bits as without a break; ctrl-c leaves one and raises KeyboardInterrupt. `look` may
    measure the model, which changes no bit of what follows.
    """
    optimiser = optimiser_of(model, config)
    batches = endless_batches(
        [len(example.ids) for example in examples], batch_size=config.batch_size, seed=config.seed
    )
    curve: list[LossPoint] = []
    if checkpoints is not None and (state := checkpoints.newest()) is not None:
        curve = _resume(model, optimiser, state, report)
        log.warning("going on after step %d of %d, from a checkpoint", len(curve), config.steps)
    done = len(curve)
    for _ in range(done):
        next(batches)
    began, tokens = time.monotonic(), 0
    model.train()
    with interruption() as interrupted:
        for step in range(done + 1, config.steps + 1):
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = [examples[index] for index in next(batches)]
            optimiser.zero_grad(set_to_none=True)
            value = _backward(model, batch, config, first_word)
            if not math.isfinite(value):
                raise InputError(
                    f"the loss is {value} at step {step}", cure="lower train.learning_rate, or raise train.warmup"
                )
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            curve.append(LossPoint(step=step, loss=value, rate=rate))
            report(step, value, rate)
            tokens += sum(len(example.ids) for example in batch)
            done_looks, looks = (step - 1) * LOOKS // config.steps, step * LOOKS // config.steps
            if look is not None and done_looks < looks < LOOKS:
                look(looks)
                model.train()
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


def _backward(model: nn.Module, batch: Sequence[Example], config: TrainConfig, first_word: int | None) -> float:
    """The mean loss per learned token of a batch, its gradients added up over parts of `micro_batch` rows."""
    size = config.micro_batch or len(batch)
    learned = sum(example.targets for example in batch)
    value = 0.0
    for begin in range(0, len(batch), size):
        part = batch[begin : begin + size]
        ids, positions, targets = collate(part)
        if first_word is not None and config.word_dropout:
            ids = without_words(ids, part, share=config.word_dropout, first_word=first_word)
        loss = F.cross_entropy(model(ids, positions), targets) * (len(targets) / learned)
        loss.backward()
        value += loss.item()
    return value


def _state(model: nn.Module, optimiser: torch.optim.Optimizer, curve: Sequence[LossPoint]) -> dict[str, Tensor]:
    """All that the next step depends on; the order of rows and the settings follow from the recipe and the step."""
    moments = {
        f"optimiser.{number}.{name}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    held = {name for name, weight in model.named_parameters() if not weight.requires_grad}  # as in the base
    weights = {f"weights.{name}": value.clone() for name, value in model.state_dict().items() if name not in held}
    points = torch.tensor([(point.loss, point.rate) for point in curve], dtype=torch.float64)
    return {**weights, **moments, "random": torch.get_rng_state(), "curve": points}


def _resume(
    model: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor], report: Report
) -> list[LossPoint]:
    """Put everything back as it was; the curve up to there, reported again to a new tracking run."""
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
    points = enumerate(state["curve"].tolist(), 1)
    curve = [LossPoint(step=step, loss=loss, rate=rate) for step, (loss, rate) in points]
    for point in curve:
        report(point.step, point.loss, point.rate)
    return curve


def measure(model: nn.Module, examples: Sequence[Example], *, batch_size: int = 64) -> tuple[float, float]:
    """Mean loss per answer token, and the share of examples whose every answer token is the most likely one."""
    model.eval()
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    total = tokens = exact = 0.0
    for begin in range(0, len(order), batch_size):
        batch = [examples[index] for index in order[begin : begin + batch_size]]
        ids, positions, targets = collate(batch)
        with torch.inference_mode():
            logits = model(ids, positions)
            total += F.cross_entropy(logits, targets, reduction="sum").item()
        tokens += len(targets)
        right = (logits.argmax(-1) == targets).split([example.targets for example in batch])
        exact += sum(bool(part.all()) for part in right)
    return (total / tokens, exact / len(examples)) if examples else (0.0, 0.0)
