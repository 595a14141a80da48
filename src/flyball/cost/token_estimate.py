"""How many tokens a text has where its server does not say: by script, corrected by what the model's servers did say.

A text is counted in pieces: runs of up to seven Latin letters, up to three digits, up to two other signs, a line break
with the indent behind it; and single letters of any other script, each with the part of a token that it usually takes.
`weigh` gives the sum of each script, `Calibration` the factor by which one model's tokenizer differs from that. The
shares are rounded means of four tokenizers (o200k, cl100k, DeepSeek-V4, SmolLM2), bench/token_estimate.py has the rest.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from typing import Final

_PIECES: Final = re.compile(r"[A-Za-z\u00c0-\u024f]{1,7}|[0-9]{1,3}|[!-/:-@\[-`{-~]{1,2}|\n\s*")
_BLOCKS: Final = (
    # first code point, script, tokens of one letter
    (0x0000, "latin", 0.0),  # counted in pieces
    (0x0080, "latin", 0.6),  # beside its piece
    (0x0370, "greek", 0.7),
    (0x0400, "cyrillic", 0.45),
    (0x0530, "other", 1.2),
    (0x0590, "hebrew", 0.8),
    (0x0600, "arabic", 0.6),
    (0x0700, "other", 1.2),
    (0x0900, "indic", 0.8),
    (0x0E00, "thai", 0.75),
    (0x0E80, "other", 1.2),
    (0x1100, "hangul", 0.9),
    (0x1200, "other", 1.2),
    (0x1E00, "latin", 0.6),
    (0x2000, "signs", 0.8),
    (0x2E80, "cjk", 1.0),
    (0x3000, "cjk", 0.8),  # signs and kana
    (0x3100, "cjk", 1.0),
    (0xA000, "other", 1.2),
    (0xAC00, "hangul", 0.9),
    (0xD7B0, "other", 1.2),
    (0xF900, "cjk", 1.0),
    (0xFB1D, "hebrew", 0.8),
    (0xFB50, "arabic", 0.6),
    (0xFE10, "cjk", 0.8),
    (0x10000, "other", 2.0),
    (0x1F000, "signs", 2.0),
    (0x20000, "cjk", 2.0),
    (0xE0000, "signs", 2.0),
)
_FIRST: Final = tuple(first for first, _, _ in _BLOCKS)
SAMPLE: Final = 16_384
"""Characters: of a longer text evenly spread pieces of this length in all are weighed."""
_SPREAD: Final = 8
_LEAST_TOKENS: Final = 12
"""A shorter text teaches more of chance than of its tokenizer."""
_DOMINANT: Final = 0.6
_SLOWEST: Final = 0.15
_BOUND: Final = 4.0
_MODELS: Final = 512

Weights = dict[str, float]
"""Tokens by script."""


def weigh(text: str) -> Weights:
    """A text's tokens by script before any correction; nothing for an empty text."""
    if len(text) > SAMPLE:
        return _weigh_sample(text)
    weights: Weights = {}
    pieces = len(_PIECES.findall(text))
    if pieces:
        weights["latin"] = float(pieces)
    if not text.isascii():
        for letter, number in Counter(text).items():
            code = ord(letter)
            if code > 0x7F:
                _, script, share = _BLOCKS[bisect_right(_FIRST, code) - 1]
                weights[script] = weights.get(script, 0.0) + number * share
    if not weights and text:
        weights["latin"] = 1.0  # blanks
    return weights


def _weigh_sample(text: str) -> Weights:
    length = SAMPLE // _SPREAD
    step = (len(text) - length) / (_SPREAD - 1)
    sample = "".join(text[int(place * step) : int(place * step) + length] for place in range(_SPREAD))
    scale = len(text) / len(sample)
    return {script: weight * scale for script, weight in weigh(sample).items()}


def estimate(text: str) -> int:
    """The tokens of a text for a model that nothing is known of; at least one where there is any text."""
    return _whole(sum(weigh(text).values()), bool(text))


class Calibration:
    """What the answers that came with a count say of each model's tokenizer, script by script.

    A factor is a mean that forgets (each text counts at least 15 %), and never leaves 1/4 to 4.
    """

    __slots__ = ("_factors", "_seen")

    def __init__(self) -> None:
        self._factors: dict[tuple[str, str], tuple[float, int]] = {}
        self._seen: dict[str, int] = {}

    def due(self, model: str) -> bool:
        """Whether to learn from this answer: from the first sixteen of a model, then from each sixty-fourth."""
        seen = self._seen.get(model, 0)
        if seen == 0 and len(self._seen) >= _MODELS:
            self._seen.clear()
            self._factors.clear()
        self._seen[model] = seen + 1
        return seen < 16 or seen % 64 == 0

    def learn(self, model: str, text: str, tokens: int) -> None:
        """Take in that `text` had so many tokens."""
        weights = weigh(text)
        total = sum(weights.values())
        if tokens < _LEAST_TOKENS or total < _LEAST_TOKENS:
            return
        script = max(weights, key=weights.__getitem__)
        if weights[script] < _DOMINANT * total:
            return
        rest = self._sum(model, {name: weight for name, weight in weights.items() if name != script})
        found = min(max((tokens - rest) / weights[script], 1 / _BOUND), _BOUND)
        factor, number = self._factors.get((model, script), (1.0, 0))
        share = max(_SLOWEST, 1 / (number + 1))
        self._factors[model, script] = (factor + share * (found - factor), number + 1)

    def tokens(self, model: str, text: str) -> int:
        """The tokens of a text, at least one where there is any text."""
        return _whole(self._sum(model, weigh(text)), bool(text))

    def _sum(self, model: str, weights: Weights) -> float:
        return sum(weight * self._factors.get((model, script), _UNKNOWN)[0] for script, weight in weights.items())


_UNKNOWN: Final = (1.0, 0)


def _whole(tokens: float, any_text: bool) -> int:
    return max(int(tokens + 0.5), int(any_text))
