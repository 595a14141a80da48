"""What is watched of a live release: drift, quality, errors, latency; each a share with the limit it may not cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flyball.monitoring.change_detection import Direction
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.observations import Answered

WATCHES = 4
"""α is shared evenly among all of them, watched or not, so that switching one off changes nothing for the others."""
ERROR_LIMIT = 0.02
"""Share of failed or cut answers that is still ordinary."""
LATENCY_LIMIT = 0.01
"""By definition of a 99th percentile, the share of answers above it."""
PEOPLE = 5
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


def watches_for(config: MonitorConfig, live: LiveView) -> list[Monitor]:
    """The watches that this release can have."""
    watches = [_errors()]
    if live.new_word_share is not None and live.has_new_word is not None:
        watches.append(_drift(live.new_word_share, config.drift_margin))
    if live.quality is not None:
        watches.append(_quality(live.quality, config.quality_margin))
    if config.latency_p99_ms is not None:
        watches.append(_latency(config.latency_p99_ms))
    return watches


def observe(
    watch: Monitor, answered: Sequence[Answered], texts: Mapping[str, str], config: MonitorConfig, live: LiveView
) -> list[Observation]:
    """Answered requests as outcomes of one watch; a request without a readable text says nothing about drift."""
    found = []
    for one in answered:
        seen = _outcome(watch, one, texts.get(one.request), config, live)
        if seen is not None:
            found.append(Observation(seq=one.seq, request=one.request, person=one.person, seen=seen))
    return found


def _outcome(watch: Monitor, one: Answered, text: str | None, config: MonitorConfig, live: LiveView) -> bool | None:
    if watch.kind == "errors":
        return one.outcome != "ok"
    if watch.kind == "latency":
        return config.latency_p99_ms is not None and one.total_ms > config.latency_p99_ms
    return None if text is None or live.has_new_word is None else live.has_new_word(text)


def _errors() -> Monitor:
    return Monitor(
        kind="errors",
        measure="error_share",
        severity="critical",
        direction="above",
        reference=ERROR_LIMIT,
        limit=ERROR_LIMIT,
        what="requests failed or were cut off",
    )


def _drift(share: float, margin: float) -> Monitor:
    return Monitor(
        kind="drift",
        measure="new_word_share",
        severity="warning",
        direction="above",
        reference=share,
        limit=_inside(share + margin),
        what="requests hold a word that the model never saw in training",
        people=PEOPLE,
    )


def _quality(quality: float, margin: float) -> Monitor:
    return Monitor(
        kind="quality",
        measure="good_share",
        severity="critical",
        direction="below",
        reference=quality,
        limit=_inside(quality - margin),
        what="graded answers were good",
        people=PEOPLE,
    )


def _latency(limit_ms: float) -> Monitor:
    return Monitor(
        kind="latency",
        measure="slow_share",
        severity="warning",
        direction="above",
        reference=LATENCY_LIMIT,
        limit=LATENCY_LIMIT,
        what=f"requests took longer than {limit_ms:g} ms",
    )


def _inside(share: float) -> float:
    return min(max(share, NARROWEST), 1.0 - NARROWEST)
