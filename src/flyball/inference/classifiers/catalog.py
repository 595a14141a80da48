"""Kinds of classifiers by the name in their header: a new one is one file and one line here."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final

from flyball.inference.classifiers.header import HashedNgrams
from flyball.inference.classifiers.linear import LinearScorer

Scorer = Callable[[Sequence[str]], list[float]]
"""Texts → probability of the positive class, one each, in order."""
KINDS: Final[dict[str, Callable[[HashedNgrams, array[int]], Scorer]]] = {"linear": LinearScorer}
