"""ROUGE-L: the longest common subsequence of an answer's words and a reference's. Pure.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"; F-measure with equal weights, as the package
rouge-score has it without stemming. Words are runs of letters and digits of any script, in lower case (rouge-score
knows a to z only). From 0 to 1. The subsequence is found bit-parallel (Hyyrö 2004), in words × words / word size.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[^\W_]+")


def rouge_l(answer: str, reference: str) -> float:
    """The score of one answer against one reference; 0 where either has no words."""
    ours, theirs = _WORDS.findall(answer.lower()), _WORDS.findall(reference.lower())
    if not ours or not theirs:
        return 0.0
    return 2.0 * common_length(ours, theirs) / (len(ours) + len(theirs))


def common_length(one: list[str], other: list[str]) -> int:
    """The length of the longest common subsequence."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(one) - row.bit_count()
