"""What suites are called."""

from __future__ import annotations

from pathlib import Path


def suite_name(name: str) -> str:
    """What reports and gate rules call a suite: a file's name without its last suffix, or `family-file`.

    A choice after the file, as in `scores:FILE?acc,none`, ends the name: `scores-file-acc-none`.
    """
    family, colon, path = name.rpartition(":")
    if not colon:
        return Path(name).stem
    family = family.replace(":", "-")
    file, _, choice = path.partition("?")
    stem = Path(file.removesuffix(".gz")).stem
    if choice == "plain":
        return f"{family}-plain-{stem}"
    return f"{family}-{stem}-{choice.replace(',', '-')}" if choice else f"{family}-{stem}"
