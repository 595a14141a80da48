"""Examples as tensors: a batch padded on the right, and the places where a token is learned. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from flyball.training.examples import Example, targets_of

Item = TypeVar("Item")


def collate(batch: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (batch, width) padded on the right, flat positions and their targets."""
    width = max(len(example.ids) for example in batch)
    ids = torch.tensor([[*example.ids, *[0] * (width - len(example.ids))] for example in batch])
    positions, targets = targets_of(batch, width)
    return ids, torch.tensor(positions), torch.tensor(targets)


def by_length(items: Sequence[Item], *, length: Callable[[Item], int], size: int) -> Iterator[list[Item]]:
    """All items, `size` of similar length at a time: little padding."""
    order = sorted(range(len(items)), key=lambda index: length(items[index]))
    for begin in range(0, len(order), size):
        yield [items[index] for index in order[begin : begin + size]]
