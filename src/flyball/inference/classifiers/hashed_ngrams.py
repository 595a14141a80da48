"""Hashed features of a text: word 1- and 2-grams and character n-grams inside words, as numbers of buckets. Pure.

Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning" (ICML). A text is read in Unicode's form
NFKC, in lower case, without invisible characters; names after @ and addresses are one word each; a character counts at
most three times in a row. CRC-32 gives the same bucket on every machine. The time is linear in the text's length.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from flyball.inference.labels import INVISIBLE

LONGEST_WORD: Final = 32
"""Characters of one word; what is longer is cut into words of this length."""
SHORTEST_GRAM, LONGEST_GRAM = 2, 5
_ADDRESS: Final = re.compile(r"https?://\S+|www\.\S+")
_NAME: Final = re.compile(r"@\w+")
_AGAIN: Final = re.compile(r"(.)\1{3,}")
_WORD: Final = re.compile(rf"\w{{1,{LONGEST_WORD}}}|[^\w\s]")
_WORDS_KEPT: Final = 16_384


def words_in(text: str) -> list[str]:
    """The words of a text, each sign a word of its own."""
    plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).lower().replace("’", "'")
    return _WORD.findall(_AGAIN.sub(r"\1\1\1", _NAME.sub("@", _ADDRESS.sub("http", plain))))


def buckets_of(text: str, bits: int) -> Sequence[int]:
    """The buckets of a text's features, each once, in no order; 2^bits buckets."""
    words = words_in(text)
    mask = (1 << bits) - 1
    crc = zlib.crc32
    found: set[int] = set()
    for word in words:
        found.update(grams_of(word, mask))
    found.update(crc(f"{one} {other}".encode()) & mask for one, other in pairwise(words))
    return tuple(found)


@lru_cache(maxsize=_WORDS_KEPT)
def grams_of(word: str, mask: int) -> tuple[int, ...]:
    """The buckets of one word and of its character n-grams."""
    padded = f"\x02{word}\x03"
    size = len(padded)
    grams = [f"\x01{word}"]
    for length in range(SHORTEST_GRAM, min(LONGEST_GRAM, size) + 1):
        grams += [padded[at : at + length] for at in range(size - length + 1)]
    return tuple({zlib.crc32(gram.encode("utf-8", "surrogatepass")) & mask for gram in grams})
