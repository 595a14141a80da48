"""The monitors of a live release: drift, quality, errors, latency. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.monitoring.columns import COLUMNS
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.drift import PEOPLE, drift_monitor
from flyball.monitoring.monitor import LiveView, Monitor, Observation, inside
from flyball.monitoring.observations import Answered

WATCHES = 4 + len(COLUMNS)
"""α is shared evenly among all of them, watched or not, so that switching one off changes nothing for the others."""
ERROR_LIMIT = 0.02
"""Share of failed or cut answers that is still ordinary."""
LATENCY_LIMIT = 0.01
"""By definition of a 99th percentile, the share of answers above it."""


def watches_for(config: MonitorConfig, live: LiveView) -> list[Monitor]:
    """The watches that this release can have."""
    watches = [_errors()]
    if live.new_word_share is not None and live.has_new_word is not None:
        watches.append(drift_monitor(live.new_word_share, config.drift_margin))
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


def _quality(quality: float, margin: float) -> Monitor:
    return Monitor(
        kind="quality",
        measure="good_share",
        severity="critical",
        direction="below",
        reference=quality,
        limit=inside(quality - margin),
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
