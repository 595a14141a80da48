"""What suites are called."""

from __future__ import annotations

from pathlib import Path


def suite_name(name: str) -> str:
    """What reports and gate rules call a suite: a file's name without its last suffix, or `family-file`."""
    family, colon, path = name.rpartition(":")
    return f"{family}-{Path(path).stem}" if colon else Path(name).stem
