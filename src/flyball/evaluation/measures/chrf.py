"""chrF: how much of the character n-grams of an answer and of a reference are the same. Pure.

Popović (2015), "chrF: character n-gram F-score for automatic MT evaluation", WMT, pp. 392–395; here chrF2 as sacreBLEU
has it: n-grams of 1 to 6 characters without white space, precision and recall averaged over the orders that both texts
have, recall weighted β = 2 times. From 0 to 1. It needs no words, so it works for scripts without blanks too.
"""

from __future__ import annotations

from collections import Counter

ORDER = 6
BETA = 2.0


def chrf(answer: str, reference: str) -> float:
    """The score of one answer against one reference; 0 where either is empty."""
    ours, theirs = "".join(answer.split()), "".join(reference.split())
    precision = recall = 0.0
    orders = min(ORDER, len(ours), len(theirs))
    for order in range(1, orders + 1):
        found, wanted = _ngrams(ours, order), _ngrams(theirs, order)
        shared = (found & wanted).total()
        precision += shared / found.total()
        recall += shared / wanted.total()
    if not precision + recall:
        return 0.0
    weight = BETA**2
    return (1 + weight) * precision * recall / ((weight * precision + recall) * orders)


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
