"""Per-item scores: the evidence that gates recompute from. I/O: reads and writes items.jsonl.

They hold no text: item ids are content hashes, answers are kept only where they are one of the known labels. So they
survive erasure, and past decisions still recompute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from flyball.errors import CorruptionError, NotFoundError
from flyball.records import fingerprint_of


class ItemScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one item scored on one measure: 0 or 1 for right and wrong, milliseconds for latency_ms.

    `error` says why there is no answer; such an item has score 0. `expected` and `answer` are labels (classification).
    `slice`, `groups`, `cluster` and `weight` are those of the case.
    """

    suite: str
    item: str
    measure: str
    score: float
    slice: str | None = None
    expected: str | None = None
    answer: str | None = None
    error: str | None = None
    groups: dict[str, str] = {}
    cluster: str | None = None
    weight: float = 1.0


def items_hash(scores: Sequence[ItemScore]) -> str:
    """The hash that an EvalReport carries: of the scores as plain JSON, in their order."""
    return fingerprint_of(msgspec.to_builtins(scores))


def write_items(path: Path, scores: Iterable[ItemScore]) -> None:
    """One JSON object a line."""
    with path.open("wb") as file:
        for score in scores:
            file.write(msgspec.json.encode(score) + b"\n")


def read_items(path: Path) -> list[ItemScore]:
    """The scores in a file; CorruptionError names the line that is not one."""
    if not path.is_file():
        raise NotFoundError(f"no per-item scores at {path}", cure="run `flyball evaluate`")
    decoder, scores = msgspec.json.Decoder(ItemScore), []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            scores.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            raise CorruptionError(
                f"{path}:{number} is not an item score: {error}",
                cure="restore the file, or run `flyball evaluate` again",
            ) from error
    return scores
