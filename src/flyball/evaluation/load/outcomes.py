"""What became of each request, in columns of numbers: 90 bytes a request, nothing for Python's collector to scan."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

NONE: Final = math.nan
_BUCKETS_PER_E: Final = 100.0
"""Gaps between tokens are counted in buckets 1 % wide."""
MOST_EXAMPLES: Final = 20


def bucket_of(seconds: float) -> int:
    """The bucket of a gap."""
    return round(math.log(max(seconds, 1e-6)) * _BUCKETS_PER_E)


def gap_of(bucket: int) -> float:
    """The gap in seconds that a bucket stands for."""
    return math.exp(bucket / _BUCKETS_PER_E)


@dataclass(slots=True, kw_only=True)
class Recording:
    """One run. Times are seconds; those of a request count from the moment at which it was due, NaN: there is none."""

    due_s: array[float] = field(default_factory=lambda: array("d"))  # since the start of the run
    lag_s: array[float] = field(default_factory=lambda: array("d"))  # until the sender turned to it
    first_s: array[float] = field(default_factory=lambda: array("d"))
    end_s: array[float] = field(default_factory=lambda: array("d"))
    longest_gap_s: array[float] = field(default_factory=lambda: array("d"))
    per_token_s: array[float] = field(default_factory=lambda: array("d"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    prompt_tokens: array[int] = field(default_factory=lambda: array("q"))
    error: list[str] = field(default_factory=list)  # "" for an answer
    gaps: Counter[int] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # of each kind of error, what the server said first
    statuses: Counter[int] = field(default_factory=Counter)
    miscounted: int = 0  # answers whose usage cannot be true
    cut: int = 0  # at the limit of tokens
    empty: int = 0
    connections: int = 0
    seconds: float = 0.0  # in which requests were due
    drained_s: float = 0.0  # until the last was answered or given up, since the start
    cpu_share: float = 0.0  # of one core, by the sender
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.error)

    def example(self, kind: str, said: str) -> None:
        """Keep the first words that came with a kind of error."""
        if kind not in self.examples and len(self.examples) < MOST_EXAMPLES:
            self.examples[kind] = said
