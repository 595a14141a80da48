"""What an answer must keep to count as good: limits on its times (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flyball.errors import InputError, nearest
from flyball.evaluation.load.outcomes import Recording

TIMES: Final = {
    "ttft": "to the first token",
    "e2e": "to the last byte",
    "tpot": "per token after the first",
    "gap": "the longest between two tokens",
}
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(us|ms|s|m|h)")


def seconds_of(text: str) -> float:
    """The seconds of a duration such as 500ms, 2s, 10m or 1h; InputError for another text."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text!r} is no duration", cure="write it such as 500ms, 2s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def objectives_of(text: str) -> dict[str, float]:
    """Seconds by time, from `ttft=500ms,e2e=2s`; InputError for a time that nothing measures."""
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, limit = part.partition("=")
        if name not in TIMES:
            close = nearest(name, list(TIMES))
            raise InputError(
                f"no time is called {name!r}",
                cure=f"did you mean {close}?" if close else f"name one of {', '.join(TIMES)}",
            )
        found[name] = seconds_of(limit)
    return found


def is_good(recording: Recording, objectives: Mapping[str, float]) -> list[float]:
    """1 for each request that was answered within all limits, 0 for each other; an answer without a time keeps it."""
    columns = {
        "ttft": recording.first_s,
        "e2e": recording.end_s,
        "tpot": recording.per_token_s,
        "gap": recording.longest_gap_s,
    }
    good = [float(not error) for error in recording.error]
    for name, limit in objectives.items():
        column = columns[name]
        good = [0.0 if taken > limit else hit for hit, taken in zip(good, column, strict=True)]
    return good
