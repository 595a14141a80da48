"""A step in parts is the step in one, and what a plain loop makes; a checkpoint of adapters does not hold the base."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flyball.errors import InputError
from flyball.telemetry import quiet
from flyball.training.batches import endless_batches
from flyball.training.checkpoints import Checkpoints
from flyball.training.config import TrainConfig
from flyball.training.examples import Example
from flyball.training.learner import Learner
from flyball.training.objectives.dpo import Dpo, Pair
from flyball.training.objectives.supervised import Supervised
from flyball.training.training_loop import LossPoint, fit


class Tiny(nn.Module):
    """Embedding and head; the embedding may be held."""

    def __init__(self, *, held: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(16, 8)
        self.embedding.weight.requires_grad = not held
        self.head = nn.Linear(8, 16)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.embedding(ids).flatten(0, 1)[positions])
        return found


EXAMPLES = [
    Example(ids=tuple((row * 7 + place) % 16 for place in range(4 + row % 5)), learned=((1, 2 + row % 3),))
    for row in range(24)
]
CONFIG = TrainConfig(steps=12, batch_size=8, learning_rate=0.01)


def supervised(model: nn.Module, config: TrainConfig = CONFIG) -> Supervised:
    def unused(*_: object) -> None:
        raise AssertionError("the loop renders and saves nothing")

    learner = Learner(model=model, context=16, first_word=None, render=unused, text=unused, save=unused)  # type: ignore[arg-type]
    return Supervised(config, learner)


def trained(config: TrainConfig) -> tuple[Tiny, list[LossPoint]]:
    model = Tiny()
    curve = fit(supervised(model, config), EXAMPLES, progress=quiet, report=lambda _: None)
    return model, curve


def test_the_loop_makes_the_bits_of_a_plain_one() -> None:
    model, curve = trained(CONFIG)
    plain, losses = Tiny(), []
    matrices = [one for one in plain.parameters() if one.ndim == 2]
    vectors = [one for one in plain.parameters() if one.ndim < 2]
    groups = [{"params": matrices, "weight_decay": CONFIG.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), fused=True)
    batches = endless_batches([len(one.ids) for one in EXAMPLES], batch_size=8, seed=CONFIG.seed)
    for step in range(1, CONFIG.steps + 1):
        share = (step - 1) / (CONFIG.steps - 1)  # one step of warm-up
        rate = 0.01 * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = [EXAMPLES[index] for index in next(batches)]
        width = max(len(one.ids) for one in batch)
        ids = torch.tensor([[*one.ids, *[0] * (width - len(one.ids))] for one in batch])
        places = [(row, at) for row, one in enumerate(batch) for at in range(*one.learned[0])]
        positions = torch.tensor([row * width + at - 1 for row, at in places])
        targets = torch.tensor([batch[row].ids[at] for row, at in places])
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(plain(ids, positions), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert [point.loss for point in curve] == losses
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("rows", [1, 3, 8, 100])
def test_a_step_in_parts_learns_what_the_whole_step_learns(rows: int) -> None:
    whole, expected = trained(CONFIG)
    parts, found = trained(msgspec.structs.replace(CONFIG, micro_batch=rows))
    for one, other in zip(expected, found, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_step_that_is_not_divided_keeps_its_bits() -> None:
    whole, curve = trained(CONFIG)
    again, same = trained(msgspec.structs.replace(CONFIG, micro_batch=8))
    assert curve == same
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))


def test_what_is_held_is_not_in_a_checkpoint_and_training_goes_on(tmp_path: Path) -> None:
    from safetensors import safe_open

    def run(stop_at: int | None) -> Tiny:
        model = Tiny(held=True)

        def report(point: LossPoint) -> None:
            if point.step == stop_at:
                raise ConnectionError("cut off")

        kept = Checkpoints(tmp_path, "held", every_s=1e-9)
        fit(supervised(model), EXAMPLES, progress=quiet, report=report, checkpoints=kept)
        return model

    with pytest.raises(ConnectionError):
        run(7)
    kept = sorted((tmp_path / "held").glob("*.safetensors"))[-1]
    with safe_open(kept, "pt") as file:
        names = set(file.keys())
    assert {"weights.head.weight", "weights.head.bias"} == {name for name in names if name.startswith("weights.")}
    resumed = run(None)
    fresh = Tiny(held=True)
    fit(supervised(fresh), EXAMPLES, progress=quiet, report=lambda _: None)
    assert torch.equal(resumed.head.weight, fresh.head.weight)


def preferring(model: nn.Module, config: TrainConfig = CONFIG) -> Dpo:
    return Dpo(config, supervised(model).learner)


PAIRED = [
    Pair(chosen=one, rejected=other, reference=(-2.0, -3.0 + number / 24))
    for number, (one, other) in enumerate(zip(EXAMPLES, reversed(EXAMPLES), strict=True))
]


@settings(max_examples=12, deadline=None)
@given(stops=st.lists(st.integers(1, 11), max_size=3), micro=st.sampled_from([None, 3]), of_pairs=st.booleans())
def test_wherever_it_stops_it_goes_on_to_the_same_bits(stops: list[int], micro: int | None, of_pairs: bool) -> None:
    """Weights, moments and the whole curve, of tokens and of pairs."""
    config = msgspec.structs.replace(CONFIG, micro_batch=micro)

    def run(folder: Path, stop_at: int | None) -> tuple[Tiny, list[LossPoint]]:
        model = Tiny(held=True)
        kept = Checkpoints(folder, "one", every_s=1e-9)

        def report(point: LossPoint) -> None:
            if point.step == stop_at:
                raise ConnectionError("cut off")

        if of_pairs:
            return model, fit(preferring(model, config), PAIRED, progress=quiet, report=report, checkpoints=kept)
        return model, fit(supervised(model, config), EXAMPLES, progress=quiet, report=report, checkpoints=kept)

    with tempfile.TemporaryDirectory() as broken, tempfile.TemporaryDirectory() as whole:
        for stop in sorted(set(stops)):
            with pytest.raises(ConnectionError):
                run(Path(broken), stop)
        model, curve = run(Path(broken), None)
        expected, points = run(Path(whole), None)
        one, other = (Checkpoints(Path(folder), "one", every_s=1).newest() for folder in (broken, whole))
    assert curve == points and (set(points[0].measured) == {"reward_margin", "preference_accuracy"}) is of_pairs
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    assert one is not None and other is not None and one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("of_pairs", [False, True])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_stops_before_its_step_and_the_last_good_checkpoint_is_named(
    tmp_path: Path, what: str, of_pairs: bool
) -> None:
    model, kept = Tiny(), Checkpoints(tmp_path, "broken", every_s=1e-9)
    objective, items = (preferring(model), PAIRED) if of_pairs else (supervised(model), EXAMPLES)
    whole, steps = objective.loss, iter(range(1, 13))

    def broken(model, part):  # type: ignore[no-untyped-def]
        value, found = whole(model, part)
        if next(steps) == 6:
            zero = 0.0 * model.head.weight.sum()
            value = value * math.nan if what == "loss" else value + torch.sqrt(zero * zero)
        return value, found

    objective.loss = broken  # type: ignore[method-assign]
    with pytest.raises(InputError, match=f"the {what} is nan at step 6; the last good checkpoint is .*step-000000005"):
        fit(objective, items, progress=quiet, report=lambda _: None, checkpoints=kept)  # type: ignore[type-var]
    state = kept.newest()
    assert state is not None and torch.equal(state["weights.head.weight"], model.head.weight)
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())
