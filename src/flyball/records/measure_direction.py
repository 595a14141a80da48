"""Which way a measure is better: reports sort by it, gates refuse pairs by it."""

from __future__ import annotations

from typing import Final

LESS_IS_BETTER: Final = frozenset(
    (
        *("over_refused", "attack_success", "recalled", "malformed", "perplexity", "bits_per_byte"),
        *("toxic", "expected_maximum_toxicity", "toxicity_probability"),
    )
)
"""Measures whose rise is a loss: pairs take more for better, and would pass a release for getting worse."""
