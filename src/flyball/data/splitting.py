"""The side a row is on: by the keyed hash of its group, so that it never changes as data grows."""

from __future__ import annotations

from flyball.data.config import SplitConfig
from flyball.records.identity import keyed_hash


def side_of(key: bytes, group: str, declared: str | None, config: SplitConfig) -> str:
    """train, validation or test. A declared train still gives its share of validation; other declarations stand."""
    if declared in ("validation", "test"):
        return declared
    place = int(keyed_hash(key, "split", group)[:16], 16) / 2**64
    if declared is None:
        if place < config.test:
            return "test"
        place -= config.test
    return "validation" if place < config.validation else "train"
