"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from flyball.records import JSON
from flyball.records.identity import short

DASH = "–"
EARLIEST_MS = 100_000_000_000
"""What ends in `_ms` and is no smaller is a moment (1973 or later): no duration here takes years."""


def count(value: float) -> str:
    """12345 as 12,345."""
    return f"{value:,.0f}"


def compact(value: float) -> str:
    """1330000 as 1.3 M; four digits and fewer stay whole."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scale = 1e3 if unit == "k" else size
            return f"{value / scale:.1f} {unit}"
    return count(value)


def size(value: float) -> str:
    """Bytes in the decimal unit that leaves few digits."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f} B"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one in percent; a dash when there is none."""
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def interval(lower: float, upper: float, digits: int = 1) -> str:
    """Two bounds, as shares of one, in percent."""
    return f"{100 * lower:.{digits}f}{DASH}{100 * upper:.{digits}f} %"


def usd(value: float | None) -> str:
    """Dollars with the digits that matter: cents from ten cents on, else two significant ones."""
    if value is None:
        return DASH
    if value == 0 or abs(value) >= 0.1:
        return f"${value:,.2f}"
    return f"${value:.{min(1 - math.floor(math.log10(abs(value))), 10)}f}"


def milliseconds(value: float | None) -> str:
    """A duration in the unit that leaves few digits."""
    if value is None:
        return DASH
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else seconds(value / 1000)


def seconds(value: float) -> str:
    """A duration from a second on."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.0f} h" if value < 172_800 else f"{value / 86_400:.0f} d"


def ago(at_ms: int, now_ms: int) -> str:
    """How long before `now_ms` something was."""
    passed = (now_ms - at_ms) / 1000
    return "now" if passed < 2 else f"{seconds(int(passed)).replace('.00', '')} ago"


def moment(at_ms: int) -> str:
    """A time of this machine's zone, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def lately(at_ms: int, now_ms: int) -> str:
    """The time of day when it was today, else the whole moment; of this machine's zone."""
    then, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def iso(at_ms: int) -> str:
    """The same moment for machines, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def brief(name: str | None) -> str:
    """A record's name short enough for a line: 12 digits of a fingerprint, the ends of a UUID."""
    if not name:
        return DASH
    return f"{name[:8]}…{name[-6:]}" if "-" in name and len(name) == 36 else short(name)


def plain(value: JSON) -> str:
    """Any JSON value on one line: numbers with at most four significant digits, mappings as `key value`."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, int):
        return count(value) if value >= 100_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(" ".join(named(key, item)) for key, item in value.items()) or DASH
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or DASH
    return str(value)


def decimal(value: float) -> str:
    """Four significant digits, written out: a power of ten only where nobody counts zeros."""
    if 1e3 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    if 1e-7 <= abs(value) < 1e-3:
        return f"{value:.{3 - math.floor(math.log10(abs(value)))}f}".rstrip("0")
    return f"{value:.4g}"


def named(key: str, value: JSON) -> tuple[str, str]:
    """A key and its value as people read them: times and sizes with their unit, moments as local time."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return words(key), plain(value)
    if key.endswith("_ms"):
        return words(key.removesuffix("_ms")), moment(int(value)) if value >= EARLIEST_MS else milliseconds(value)
    if key.endswith("_mb"):
        return words(key.removesuffix("_mb")), size(1e6 * value)
    if key == "seconds":
        return "took", seconds(value)
    if key == "e_value":
        return "e-value", e_value(value)
    return words(key), plain(value)


def e_value(value: float) -> str:
    """An e-value and what it means: how rarely chance alone ever comes so far (Ville's inequality)."""
    if value < 2:
        return f"{decimal(value)} (no evidence of a change)"
    return f"{decimal(value)} (without a change, evidence ever grows this strong in at most 1 of {count(value)} cases)"


def words(key: str) -> str:
    """An identifier as words: exact_match as exact match."""
    return key.replace("_", " ")
