"""The side a row is on: by the keyed hash of its group, so that it stays as data grows."""

from __future__ import annotations

import re

from flyball.data.config import DataConfig, SplitConfig
from flyball.records.identity import keyed_hash

WHOLE = 2**64


def place_of(key: bytes, group: str) -> int:
    """Where a group stands between 0 and `WHOLE`: low places are tested on, then come validation and training."""
    return int(keyed_hash(key, "split", group)[:16], 16)


def validation_from_train(config: DataConfig) -> bool:
    """Whether sources with `split: train` give the share of validation: only where no source has a side of its own."""
    sources = config.sources
    own = any(source.split == "validation" or source.fields.split for source in sources)
    return config.split.validation > 0 and not own and any(source.split == "train" for source in sources)


def side_of(place: int, declared: str | None, config: SplitConfig, *, gives: bool = True) -> str:
    """train, validation or test; declarations stand, save that a declared train `gives` the share of validation."""
    if declared in ("validation", "test") or (declared == "train" and not gives):
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
