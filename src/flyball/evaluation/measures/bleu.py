"""BLEU of one answer, by sacrebleu where it is installed (`pip install 'flyball[evaluate]'`). Pure.

Papineni et al. 2002; Post 2018, "A Call for Clarity in Reporting BLEU Scores", WMT. Sentence BLEU with effective order,
tokenizer 13a and exponential smoothing (sacrebleu's defaults), from 0 to 1: the measure is the mean over cases, not the
BLEU of a corpus.
"""

from __future__ import annotations

from functools import cache
from typing import Any


def bleu(answer: str, reference: str) -> float | None:
    """The score of one answer against one reference; None without sacrebleu."""
    scorer = _scorer()
    return None if scorer is None else min(1.0, scorer.sentence_score(answer, [reference]).score / 100.0)


@cache
def _scorer() -> Any:
    try:
        from sacrebleu.metrics import BLEU  # optional, and imports numpy
    except ImportError:
        return None
    return BLEU(effective_order=True)
