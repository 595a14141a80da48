"""An objective of training: rows become items, and a batch of items a loss. The loop knows nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from torch import Tensor, nn

from flyball.data.rows import Row
from flyball.telemetry import Progress
from flyball.training.config import TrainConfig
from flyball.training.examples import Example
from flyball.training.learner import Learner

Item = TypeVar("Item")
State = dict[str, Tensor]
Keep = Callable[[str, Callable[[], State]], State]
"""(name, compute) → what `compute` gives; a training that goes on reads what was kept under that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Generic[Item]):
    """The items of one split, and what is counted of its rows, by the names of metrics.

    `refusal` says why the chat template does not render the first row that it refuses.
    """

    items: tuple[Item, ...]
    counts: Mapping[str, int]
    refusal: str = ""


class Objective(ABC, Generic[Item]):
    """What `train.objective: NAME` minimises with the model of `learner`.

    `rates` are the learning rates by method where the recipe names none; `step_metrics` what `loss` tells beside it.
    """

    name: ClassVar[str]
    rates: ClassVar[Mapping[str, float]]
    step_metrics: ClassVar[tuple[str, ...]] = ()
    dropout: ClassVar[bool] = True
    """Whether activations are dropped while it learns."""

    needs_teacher: ClassVar[bool] = False
    """Whether another model says what is to be learned."""

    def __init__(self, config: TrainConfig, learner: Learner, *, teacher: Path | None = None) -> None:
        self.config, self.learner, self.teacher = config, learner, teacher

    @classmethod
    @abstractmethod
    def asked(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """The training rows as a request asks them, with the longest answer: they choose the context and the cut."""

    @abstractmethod
    def prepare(self, rows: Iterable[Row], most: int) -> Prepared[Item]:
        """Rows as items; a request's texts are cut after `most` characters."""

    @abstractmethod
    def require_enough(self, training: Prepared[Item]) -> None:
        """InputError where the training items do not fill one batch."""

    def before(self, items: Sequence[Item], name: str, *, keep: Keep, progress: Progress) -> Sequence[Item]:
        """The items of split `name` with what the model says of them before its first step."""
        return items

    @abstractmethod
    def sequences(self, item: Item) -> tuple[Example, ...]:
        """What the model reads of an item, sequence by sequence."""

    @abstractmethod
    def weight(self, batch: Sequence[Item]) -> int:
        """How many things the loss of a batch is the mean of."""

    @abstractmethod
    def loss(self, model: nn.Module, part: Sequence[Item]) -> tuple[Tensor, Mapping[str, float]]:
        """The mean loss of a part of a batch, and the means that `step_metrics` names."""

    @abstractmethod
    def measure(self, model: nn.Module, items: Sequence[Item]) -> dict[str, float]:
        """Figures of held-out items, at least one."""

    def length(self, item: Item) -> int:
        """Tokens of its longest sequence: how wide a batch must be for it."""
        return max(len(one.ids) for one in self.sequences(item))
