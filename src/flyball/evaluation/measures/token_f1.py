"""Token F1: how many words an answer and a reference share, as SQuAD counts them. Pure.

Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP, and its evaluate-v1.1.py:
lower case, without ASCII punctuation and the articles a, an and the, words by white space. From 0 to 1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Final

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    """The words that count."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words; two texts without words are equal."""
    ours, theirs = squad_words(answer), squad_words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2.0 * shared / (len(ours) + len(theirs))
