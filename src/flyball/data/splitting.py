"""The side a row is on: by the keyed hash of its group, so that it stays as data grows."""

from __future__ import annotations

import re

from flyball.data.config import SplitConfig
from flyball.records.identity import keyed_hash

WHOLE = 2**64


def place_of(key: bytes, group: str) -> int:
    """Where a group stands between 0 and `WHOLE`: low places are tested on, then come validation and training."""
    return int(keyed_hash(key, "split", group)[:16], 16)


def side_of(place: int, declared: str | None, config: SplitConfig) -> str:
    """train, validation or test. A declared train still gives its share of validation; other declarations stand."""
    if declared in ("validation", "test"):
        return declared
    share = place / WHOLE
    if declared is None:
        if share < config.test:
            return "test"
        share -= config.test
    return "validation" if share < config.validation else "train"


NAMED = {
    **dict.fromkeys(("train", "training", "fit"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "heldout", "holdout"), "test"),
}


def side_named(value: object) -> str | None:
    """The side that a data set's own column means: None for an empty value, "" for one that is no side."""
    if value is None or not str(value).strip():
        return None
    words = re.findall(r"[a-z]+", str(value).casefold())
    return next((NAMED[word] for word in words if word in NAMED), "")
