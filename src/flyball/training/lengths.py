"""How long texts may be: the context that fits nearly all rows, and where a text is cut that does not fit. Pure.

The cut is one number of characters for rows, suites and requests: what serves reads texts as they were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flyball.training.config import SMALLEST_CONTEXT
from flyball.training.examples import Encode, LabelledText

FITTING = 0.995
LARGEST, STEP = 2048, 64
"""Bounds of a context that is chosen here: attention over more tokens costs more than most projects gain."""
POOL = 64


def context_for(lengths: Sequence[int]) -> int:
    """Tokens that 99.5 % of the examples fit, in steps of 64, from 256 to 2,048."""
    ordered = sorted(lengths)
    wanted = ordered[min(len(ordered) - 1, int(FITTING * len(ordered)))] if ordered else 0
    return min(LARGEST, max(SMALLEST_CONTEXT, -(-wanted // STEP) * STEP))


def lengths_of(rows: Sequence[LabelledText], *, prompt_of: Encode, answer_of: Encode) -> list[int]:
    """Tokens of each row with its answer."""
    return [len(prompt_of(row.text)) + len(answer_of(row.label)) for row in rows if row.label is not None]


def most_characters(
    rows: Sequence[LabelledText],
    *,
    prompt_of: Encode,
    answer_of: Encode,
    context: int,
    harmless: Callable[[str], str],
) -> int:
    """After how many characters a text is cut: so many that 95 % of the rows which do not fit do fit once they are cut.

    Where all rows fit, it is what fits of them joined, less a tenth: of longer texts of the same kind nearly all fit.
    """
    encoded = [(harmless(row.text), len(answer_of(row.label))) for row in rows if row.label is not None]
    fits = sorted(_fitting(encoded, prompt_of, context))
    if fits:
        return max(1, fits[len(fits) // 20])
    if not encoded:
        return context
    pool = " ".join(text for text, _ in encoded[:POOL]) or "a"
    pool *= -(-context * 16 // len(pool))
    return max(1, int(0.9 * fitting_characters(pool, context - max(answer for _, answer in encoded), prompt_of)))


def _fitting(encoded: Sequence[tuple[str, int]], prompt_of: Encode, context: int) -> Iterator[int]:
    for text, answer in encoded:
        if len(prompt_of(text)) + answer > context:
            fitting = fitting_characters(text, context - answer, prompt_of)
            if fitting > 0:
                yield fitting


def fitting_characters(text: str, room: int, prompt_of: Encode) -> int:
    """The length of the longest beginning of `text` (to a few characters) whose prompt has at most `room` tokens."""
    low, high, best = 0, len(text), 0
    while low <= high:
        middle = (low + high) // 2
        if len(prompt_of(text[:middle])) <= room:
            low, best = middle + 1, middle
        else:
            high = middle - 1
    return best
