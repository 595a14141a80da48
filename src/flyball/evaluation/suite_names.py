"""What suites are called."""

from __future__ import annotations

from pathlib import Path


def suite_name(name: str) -> str:
    """What reports and gate rules call a suite: a file's name without its last suffix, or `family-file`."""
    family, colon, path = name.rpartition(":")
    if not colon:
        return Path(name).stem
    stem = Path(path.removesuffix("?plain").removesuffix(".gz")).stem
    return f"{family}-plain-{stem}" if path.endswith("?plain") else f"{family}-{stem}"
