"""A step in parts is the step in one; a checkpoint of adapters does not hold the base."""

from __future__ import annotations

import msgspec
import pytest
import torch
from torch import nn

from flyball.telemetry import quiet
from flyball.training.config import TrainConfig
from flyball.training.examples import Example
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


def trained(config: TrainConfig) -> tuple[Tiny, list[LossPoint]]:
    model = Tiny()
    curve = fit(model, EXAMPLES, config, first_word=None, progress=quiet, report=lambda *_: None)
    return model, curve


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


def test_what_is_held_is_not_in_a_checkpoint_and_training_goes_on(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from safetensors import safe_open

    from flyball.training.checkpoints import Checkpoints

    def run(stop_at: int | None) -> Tiny:
        model = Tiny(held=True)

        def report(step: int, _loss: float, _rate: float) -> None:
            if step == stop_at:
                raise ConnectionError("cut off")

        fit(
            model,
            EXAMPLES,
            CONFIG,
            first_word=None,
            progress=quiet,
            report=report,
            checkpoints=Checkpoints(tmp_path, "held", every_s=1e-9),
        )
        return model

    with pytest.raises(ConnectionError):
        run(7)
    kept = sorted((tmp_path / "held").glob("*.safetensors"))[-1]
    with safe_open(kept, "pt") as file:
        names = set(file.keys())
    assert {"weights.head.weight", "weights.head.bias"} == {name for name in names if name.startswith("weights.")}
    resumed = run(None)
    fresh = Tiny(held=True)
    fit(fresh, EXAMPLES, CONFIG, first_word=None, progress=quiet, report=lambda *_: None)
    assert torch.equal(resumed.head.weight, fresh.head.weight)
