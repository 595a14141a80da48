"""Objectives whose loss is the mean over learned tokens: cross-entropy in nats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from flyball.training.collation import collate
from flyball.training.examples import Example
from flyball.training.objectives.objective import Objective


class NextToken(Objective[Example]):
    """The next token at the learned places of one sequence; what is learned of a row is for the objective to say."""

    rates: ClassVar[Mapping[str, float]] = {"scratch": 2e-3, "finetune": 2e-4, "lora": 2e-4}

    def sequences(self, item: Example) -> tuple[Example, ...]:
        """The one."""
        return (item,)

    def weight(self, batch: Sequence[Example]) -> int:
        """Learned tokens."""
        return sum(example.targets for example in batch)

    def loss(self, model: nn.Module, part: Sequence[Example]) -> tuple[Tensor, Mapping[str, float]]:
        """The mean loss per learned token."""
        ids, positions, targets = collate(part)
        return F.cross_entropy(model(self.seen(ids, part), positions), targets), {}

    @abstractmethod
    def seen(self, ids: Tensor, part: Sequence[Example]) -> Tensor:
        """The ids (batch, width) as the model reads them in training."""
