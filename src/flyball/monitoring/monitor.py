"""What a monitor is: a share of the requests of a live release, and the limit that it may not cross. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from flyball.monitoring.change_detection import Direction

NARROWEST = 0.001
"""Limits are kept this far from 0 and 1, where no finite evidence could exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """What is known of the live release from before it went live; what is None is not watched."""

    release: str
    quality: float | None = None  # exact match, evaluated
    new_word_share: float | None = None  # of held-out rows that hold a word unseen in training
    has_new_word: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """One running test: the share of `what` and the limit it may not cross in `direction`.

    `people`: so many different people at least must have shown it, and each counts once per block of observations,
    because neither one customer nor one client that runs wild is a trend; 1 where each request speaks for itself.
    """

    kind: Literal["drift", "quality", "errors", "latency"]
    measure: str
    severity: Literal["warning", "critical"]
    direction: Direction
    reference: float
    limit: float
    what: str
    people: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One outcome at its place in the ledger; `seen` is what the watch counts."""

    seq: int
    request: str
    person: str | None
    seen: bool


def inside(share: float) -> float:
    """The share, kept away from 0 and 1."""
    return min(max(share, NARROWEST), 1.0 - NARROWEST)
