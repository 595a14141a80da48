"""How long texts may be: the context that fits nearly all rows, and where a text is cut that does not fit. Pure.

The cut is one number of characters for rows, suites and requests: what serves reads texts as they were trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flyball.training.config import SMALLEST_CONTEXT
from flyball.training.examples import Example, LabelledText, Render

FITTING = 0.995
LARGEST, STEP = 2048, 64
"""Bounds of a context that is chosen here: attention over more tokens costs more than most projects gain."""
ROOM = 6
"""So many times the tokens that texts are cut to are read: a text may have more tokens a character than those learned.

Of ASCII no text has more than about this: a token is a byte at least, and four or five in the texts learned from.
"""
POOL = 64


def context_for(lengths: Sequence[int]) -> int:
    """Tokens that 99.5 % of the examples fit, in steps of 64, from 256 to 2,048."""
    ordered = sorted(lengths)
    wanted = ordered[min(len(ordered) - 1, int(FITTING * len(ordered)))] if ordered else 0
    return min(LARGEST, max(SMALLEST_CONTEXT, -(-wanted // STEP) * STEP))


def room_for(context: int) -> int:
    """Tokens that a model reads whose texts are cut to fit `context`: up to 4,096, so that dense ones fit as well."""
    return max(context, min(2 * LARGEST, ROOM * context))


def lengths_of(rows: Sequence[LabelledText], render: Render) -> list[int]:
    """Tokens of each row with its answer."""
    made = (render(row, None) for row in rows if row.label is not None)
    return [len(example.ids) for example in made if isinstance(example, Example)]


def most_characters(rows: Sequence[LabelledText], *, render: Render, context: int) -> int:
    """After how many characters a text is cut: so many that 95 % of the rows which do not fit do fit once they are cut.

    Each text of a conversation is cut so, as in a request. Where all rows fit, it is what fits of their texts joined,
    less a tenth: of longer texts of the same kind nearly all fit.
    """
    labelled = [row for row in rows if row.label is not None]
    fits = sorted(_fitting(labelled, render, context))
    if fits:
        return max(1, fits[len(fits) // 20])
    if not labelled:
        return context
    pool = " ".join(row.text for row in labelled[:POOL]) or "a"
    pool *= -(-context * 16 // len(pool))
    longest = max((row.label or "" for row in labelled), key=len)
    return max(1, int(0.9 * fitting_characters(_Joined(text=pool, label=longest), context, render)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """Texts of many rows as one."""

    text: str
    label: str | None
    turns: str | None = None


def _fitting(labelled: Sequence[LabelledText], render: Render, context: int) -> Iterator[int]:
    for row in labelled:
        example = render(row, None)
        if isinstance(example, Example) and len(example.ids) > context:
            fitting = fitting_characters(row, context, render)
            if fitting > 0:
                yield fitting


def fitting_characters(row: LabelledText, context: int, render: Render) -> int:
    """After how many characters (to a few) the texts of a row must be cut for it to fit; 0 where nothing helps."""
    low, high, best = 0, len(row.turns or row.text), 0
    while low <= high:
        middle = (low + high) // 2
        example = render(row, middle)
        if isinstance(example, Example) and len(example.ids) <= context:
            low, best = middle + 1, middle
        else:
            high = middle - 1
    return best
