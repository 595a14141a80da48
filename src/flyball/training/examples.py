"""Rows as token sequences, of which answers are learned: what fits the context, and what is left out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flyball.errors import InputError

Encode = Callable[[str], list[int]]
Span = tuple[int, int]


class LabelledText(Protocol):
    """What training reads of a row: dataset rows and rows made in memory."""

    @property
    def text(self) -> str: ...
    @property
    def turns(self) -> str | None: ...
    @property
    def label(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a request and its answer, of which the spans (begin, end) are learned, the answer's is the last.

    `shortened`: a text of its row was cut.
    """

    ids: Sequence[int]
    learned: tuple[Span, ...]
    shortened: bool = False

    @property
    def targets(self) -> int:
        """How many tokens are learned."""
        return sum(end - begin for begin, end in self.learned)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a chat template does not render a row."""

    reason: str


Render = Callable[[LabelledText, int | None], Example | Refusal]
"""A labelled row whose texts are cut after so many characters (None: not at all) → its example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of one split, and how many rows were shortened or left out to get them.

    `refusal` says why the template does not render the first of the `refused` rows.
    """

    items: tuple[Example, ...]
    truncated: int
    unlabelled: int
    too_long: int
    refused: int = 0
    refusal: str = ""


def make_examples(rows: Iterable[LabelledText], *, render: Render, context: int, most: int) -> Examples:
    """An Example for each row.

    Its texts are cut after `most` characters, as those of requests are (counted as truncated). A row that does not fit
    the context all the same is left out (too_long), and so is one that the chat template refuses: as their requests
    would be refused. So is one without a label.
    """
    items: list[Example] = []
    refusals: list[str] = []
    truncated = unlabelled = too_long = 0
    for row in rows:
        if row.label is None:
            unlabelled += 1
            continue
        example = render(row, most)
        if isinstance(example, Refusal):
            refusals.append(example.reason)
        elif len(example.ids) > context:
            too_long += 1
        else:
            truncated += example.shortened
            items.append(example)
    return Examples(
        items=tuple(items),
        truncated=truncated,
        unlabelled=unlabelled,
        too_long=too_long,
        refused=len(refusals),
        refusal=refusals[0] if refusals else "",
    )


def require_enough(rows: int, *, batch_size: int, refused: int, refusal: str, none: str) -> None:
    """InputError when the training rows do not fill one batch; `none` says why there may be none but by refusals."""
    if rows == 0 and refused:
        raise InputError(
            f"the model's chat template renders none of {refused} rows: {refusal}",
            cure="train another base, or rows without system turns and with turns that alternate",
        )
    if rows == 0:
        raise InputError(none, cure="check data.sources fields in flyball.yaml")
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
        for begin, end in example.learned:
            positions.extend(range(row * width + begin - 1, row * width + end - 1))
            targets.extend(example.ids[begin:end])
    return positions, targets
