"""The table of capabilities by test types: failure rates of behaviour tests, as CheckList shows them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flyball.records import Measure

TYPES: Final = ("MFT", "INV", "DIR")
CELL: Final = "cell="


def capability_rows(measures: Sequence[Measure]) -> tuple[tuple[object, ...], ...]:
    """(suite, capability, then for each type the failure rate with its interval and n) of suites that have them."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for m in measures:
        if m.name == "failure_rate" and m.slice and m.slice.startswith(CELL):
            capability, _, kind = m.slice.removeprefix(CELL).rpartition(" · ")
            cell = f"{m.value:.1%} ({m.lower:.1%} to {m.upper:.1%}, n = {m.n})"
            found.setdefault((m.suite, capability), {})[kind] = cell
    return tuple((*place, *(cells.get(kind, "–") for kind in TYPES)) for place, cells in found.items())
