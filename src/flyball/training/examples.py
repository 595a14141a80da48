"""Rows as token sequences: a prompt in the model's chat template, then the answer that is to be learned. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flyball.errors import InputError
from flyball.inference.preparation import cut

Encode = Callable[[str], list[int]]


class LabelledText(Protocol):
    """What training reads of a row: dataset rows and rows made in memory."""

    @property
    def text(self) -> str: ...
    @property
    def label(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of prompt and answer; the answer begins at `answer`, and only it is learned."""

    ids: tuple[int, ...]
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of one split, and how many rows were shortened or left out to get them."""

    items: tuple[Example, ...]
    truncated: int
    unlabelled: int
    too_long: int


def make_examples(
    rows: Iterable[LabelledText],
    *,
    prompt_of: Encode,
    answer_of: Encode,
    context: int,
    most: int,
    harmless: Callable[[str], str],
) -> Examples:
    """An Example for each row: prompt_of(text, made `harmless`: without control tokens) + answer_of(label).

    A text is cut after `most` characters, as requests are (counted as truncated). A row that does not fit the context
    all the same is left out (too_long), as its request would be refused; so is one without a label.
    """
    items: list[Example] = []
    truncated = unlabelled = too_long = 0
    for row in rows:
        if row.label is None:
            unlabelled += 1
            continue
        text = cut(row.text, most)
        answer, prompt = answer_of(row.label), prompt_of(harmless(text))
        if len(prompt) + len(answer) > context:
            too_long += 1
            continue
        truncated += text != row.text
        items.append(Example((*prompt, *answer), len(prompt)))
    return Examples(items=tuple(items), truncated=truncated, unlabelled=unlabelled, too_long=too_long)


def require_enough(examples: Examples, *, batch_size: int) -> None:
    """InputError when the training rows do not fill one batch."""
    rows = len(examples.items)
    if rows == 0:
        raise InputError("no training row has a label", cure="check data.sources fields in flyball.yaml")
    if rows < batch_size:
        raise InputError(
            f"{rows} training rows are fewer than one batch of {batch_size}",
            cure=f"add rows, or set train.batch_size to at most {rows}",
        )


def targets_of(batch: Sequence[Example], width: int) -> tuple[list[int], list[int]]:
    """Flat positions (row * width + column) whose next token is learned, and those tokens."""
    positions: list[int] = []
    targets: list[int] = []
    for row, example in enumerate(batch):
        for column in range(example.answer, len(example.ids)):
            positions.append(row * width + column - 1)
            targets.append(example.ids[column])
    return positions, targets
