"""What is likely wrong with a dataset though no rule forbids it. I/O: a file in the dataset's folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

FILE = "warnings.json"


def write_warnings(folder: Path, warnings: Iterable[str]) -> None:
    """The sentences as a JSON list; no file where there is nothing to say."""
    said = list(warnings)
    if said:
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n")


def read_warnings(folder: Path) -> list[str]:
    """What was said of the dataset in this folder."""
    path = folder / FILE
    return msgspec.json.decode(path.read_bytes(), type=list[str]) if path.is_file() else []
