"""Texts as TF-IDF features of n-grams, in plain Python: what a linear model reads at serving. I/O: reads its file.

The features are those of scikit-learn's TfidfVectorizer (analyzers `word` and `char_wb`, lower case, smooth idf, L2
norm), whose vocabulary and weights the file holds; scikit-learn itself is needed only in training.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from flyball.errors import CorruptionError, NotFoundError

VECTORIZER = "vectorizer.json"
_WORD = re.compile(r"\w\w+")
_SPACES = re.compile(r"\s\s+")


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of n-grams, from `shortest` to `longest` words or characters; a term's column is its place."""

    analyzer: Literal["word", "char_wb"]
    shortest: int
    longest: int
    sublinear: bool
    terms: tuple[str, ...]
    idf: tuple[float, ...]


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that turns a text into features, and the labels that the model tells apart; columns of `parts` in a row."""

    version: Literal[1] = 1
    labels: tuple[str, ...]
    parts: tuple[Terms, ...]

    @property
    def size(self) -> int:
        """How many features there are."""
        return sum(len(part.terms) for part in self.parts)


class Vectorizer:
    """Texts → features; threads may share it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.labels = vocabulary.labels
        self._parts: list[tuple[Terms, dict[str, int], int]] = []
        first = 0
        for part in vocabulary.parts:
            self._parts.append((part, {term: column for column, term in enumerate(part.terms)}, first))
            first += len(part.terms)

    def __call__(self, text: str) -> tuple[list[int], list[float]]:
        """The columns that are not zero, ascending, and their values; none for a text without a known n-gram."""
        columns: list[int] = []
        values: list[float] = []
        text = text.lower()
        for part, places, first in self._parts:
            counts = Counter(place for gram in _grams(part, text) if (place := places.get(gram)) is not None)
            found = sorted(counts)
            weights = [
                (1.0 + math.log(counts[place]) if part.sublinear else counts[place]) * part.idf[place]
                for place in found
            ]
            norm = math.sqrt(sum(weight * weight for weight in weights)) or 1.0
            columns += [first + place for place in found]
            values += [weight / norm for weight in weights]
        return columns, values


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a model's folder; NotFoundError without one, CorruptionError for a broken one."""
    path = folder / VECTORIZER
    try:
        vocabulary = msgspec.json.decode(path.read_bytes(), type=Vocabulary)
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} has no {VECTORIZER}", cure="train with train.method linear") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError(f"{path} cannot be read: {error}", cure="train the model again") from error
    if any(len(part.terms) != len(part.idf) for part in vocabulary.parts):
        raise CorruptionError(f"{path} has not one weight for each term", cure="train the model again")
    return vocabulary


def _grams(part: Terms, text: str) -> Iterator[str]:
    if part.analyzer == "word":
        return _word_grams(_WORD.findall(text), part.shortest, part.longest)
    return _character_grams(_SPACES.sub(" ", text), part.shortest, part.longest)


def _word_grams(words: list[str], shortest: int, longest: int) -> Iterator[str]:
    for size in range(shortest, min(longest, len(words)) + 1):
        for at in range(len(words) - size + 1):
            yield " ".join(words[at : at + size])


def _character_grams(text: str, shortest: int, longest: int) -> Iterator[str]:
    """Within words, each with a space at both ends; a word shorter than a size is one n-gram, counted once."""
    for word in text.split():
        padded = f" {word} "
        for size in range(shortest, longest + 1):
            for at in range(max(1, len(padded) - size + 1)):
                yield padded[at : at + size]
            if len(padded) <= size:
                break
