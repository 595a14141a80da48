"""A linear classifier over hashed n-grams: the mean of a text's weights as a probability. Pure.

Logistic regression: p = 1 / (1 + exp(−(intercept + scale · Σ weights / √n))), n the number of the text's features.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from flyball.inference.classifiers.hashed_ngrams import buckets_of
from flyball.inference.classifiers.header import HashedNgrams

MOST_CHARACTERS: Final = 100_000
"""Of one text; what follows is not read."""


class LinearScorer:
    """Texts → probability of the positive class, in plain Python."""

    def __init__(self, features: HashedNgrams, weights: array[int]) -> None:
        self._features, self._weights = features, weights

    def __call__(self, texts: Sequence[str]) -> list[float]:
        return [self._probability(text) for text in texts]

    def _probability(self, text: str) -> float:
        weights = self._weights
        buckets = buckets_of(text[:MOST_CHARACTERS], self._features.bits)
        total = sum([weights[bucket] for bucket in buckets])
        return logistic(self._features.intercept + self._features.scale * total / math.sqrt(max(1, len(buckets))))


def logistic(z: float) -> float:
    """1 / (1 + e^−z) without overflow."""
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    grown = math.exp(z)
    return grown / (1.0 + grown)
