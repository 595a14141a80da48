"""The order of training: which examples form which batch, decided by seed and epoch alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

POOL = 40  # batches sorted by length together: little padding, still well shuffled


def epoch_batches(lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices in batches of similar length; every example at most once, a last incomplete batch is left to the next."""
    order = random.Random(f"{seed}:{epoch}")
    indices = list(range(len(lengths)))
    order.shuffle(indices)
    batches: list[list[int]] = []
    for begin in range(0, len(indices), batch_size * POOL):
        pool = sorted(indices[begin : begin + batch_size * POOL], key=lengths.__getitem__)
        batches += [pool[at : at + batch_size] for at in range(0, len(pool) - batch_size + 1, batch_size)]
    order.shuffle(batches)
    return batches


def endless_batches(lengths: Sequence[int], *, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Epoch after epoch."""
    epoch = 0
    while True:
        yield from epoch_batches(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
        epoch += 1


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The share of a batch list's token places that are padding."""
    places = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    return 1 - sum(lengths[index] for batch in batches for index in batch) / places if places else 0.0
